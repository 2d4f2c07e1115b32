import numpy as np
import pandas as pd
import simulated

from entr.analysis.recommendation import Choice, Interval
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import describe_share
from entr.report.recommendation import render_recommendation, write_recommendation

LIMITS = {"max_seconds": 1e6, "min_accuracy": 0.5}
NO_LIMITS = {"max_seconds": None, "min_accuracy": None}
NO_FRONTS = pd.DataFrame()


def test_recommendation_states_every_choice_the_limits_and_the_exported_model(tmp_path):
    grid = simulated.grid(seeds=3)
    for name in ("metrics", "summary", "pareto_front"):
        write_table(grid[name], tmp_path / f"{name}.csv")
    outputs = {"table": tmp_path / "recommendation.csv", "text": tmp_path / "recommendation.md"}
    inputs = [tmp_path / f"{name}.csv" for name in ("metrics", "summary", "pareto_front")]
    write_recommendation(*inputs, design=simulated.design(seeds=3), limits=LIMITS, outputs=outputs)
    text, table = outputs["text"].read_text(encoding="utf-8"), read_table(outputs["table"])
    assert table["goal"].tolist() == ["accurate", "efficient", "within_limits"]
    assert table["recommended"].tolist() == [False, False, True]
    chosen = table.iloc[2]
    assert (
        f"| the best within your limits | {chosen['model']} | {chosen['regime']} | {100 * chosen['accuracy']:.1f}"
        in text
    )
    assert (
        f"`results/models/ucm` contains {chosen['model']} with {chosen['regime']}, seed {chosen['seed']:.0f}." in text
    )
    assert "*T* of at most 1e+06 s and *A* of at least 50 %" in text


def test_choice_without_interval_is_a_number_alone():
    choice = Choice("ucm", "accurate", "no alternative was run", True, "resnet18", "gradual", 0, 1)
    values = {"accuracy": Interval(0.5), "seconds": Interval(12.0), "efficiency": Interval(0.2)}
    text = render_recommendation([Choice(**vars(choice) | values)], NO_FRONTS, simulated.design(), NO_LIMITS)
    assert "| the most accurate | resnet18 | gradual | 50.0 | 12.0 | 0.200 | 1 |" in text
    assert "- **The most accurate**: no alternative was run." in text
    assert "Your limits (`recommend`): none." in text


def test_dataset_without_finished_cells_is_reported():
    text = render_recommendation([], NO_FRONTS, simulated.design(), NO_LIMITS)
    assert "## UCM\n\nNo cell of this dataset is finished.\n" in text


def test_table_of_recommendations_has_one_column_per_number():
    row = Choice("ucm", "within_limits", "nothing", False).row()
    assert pd.isna(row["accuracy_low"])
    assert np.isnan(row["seconds"])
    assert row["model"] == ""


def test_held_out_test_images_are_mentioned_if_there_are_any():
    sentence = "The model card in `results/models` states its accuracy on test images that were held out."
    assert sentence in render_recommendation([], NO_FRONTS, simulated.design(), NO_LIMITS, tested=True)
    assert sentence not in render_recommendation([], NO_FRONTS, simulated.design(), NO_LIMITS)


def test_what_fits_into_the_budget_is_stated_if_there_is_one():
    text = render_recommendation(
        [], NO_FRONTS, simulated.design(), NO_LIMITS, budget=["budget of 2 h: 3 seeds", "not: scale 1"]
    )
    assert text.endswith("\n\nThe grid was chosen to fit into the time:\n\n- budget of 2 h: 3 seeds\n- not: scale 1\n")
    assert "fit into" not in render_recommendation([], NO_FRONTS, simulated.design(), NO_LIMITS)


CHOICE = Choice("ucm", "accurate", "no alternative was run", True, "resnet18", "gradual", 0, 1)


def test_regimes_are_listed_by_how_often_they_are_on_the_pareto_front():
    fronts = simulated.grid(seeds=4)["pareto_front"]
    text = render_recommendation([CHOICE], fronts, simulated.design(seeds=4), NO_LIMITS)
    rows = fronts.query("scope == 'dataset' and stage == 'total-tta' and time_basis == 'training'")
    table = [line.split(" | ") for line in text.partition("Which regime to use")[2].splitlines() if "| " in line][2:]
    assert len(table) == 3
    by_regime = rows.set_index("regime")
    shares = [by_regime["front_share"][line[0].removeprefix("| ")] for line in table]
    assert shares == sorted(shares, reverse=True)
    best = by_regime.loc[table[0][0].removeprefix("| ")]
    assert table[0][1].startswith(f"{100 * best['accuracy']:+.1f} points [")
    assert table[0][2].startswith(f"{best['time']:#.3g} [")
    assert table[0][3] == f"{describe_share(best['front_share'])} |"
    assert "Fewer than 8 replicates: the share is too close to 0 or 1." in text
    assert "## All datasets" not in text


def test_regimes_of_one_seed_are_on_the_front_or_not():
    fronts = simulated.grid(seeds=1)["pareto_front"]
    text = render_recommendation([CHOICE], fronts, simulated.design(seeds=1), NO_LIMITS)
    assert "| yes |\n" in text
    assert "One replicate: no share." in text


def test_regimes_over_all_datasets_are_listed_if_there_are_several():
    datasets = ("ucm", "bees")
    fronts = simulated.grid(datasets=datasets, seeds=2)["pareto_front"]
    choices = [CHOICE, Choice(**vars(CHOICE) | {"dataset": "bees"})]
    text = render_recommendation(choices, fronts, simulated.design(datasets), NO_LIMITS)
    assert text.count("Which regime to use, relative to no-increase:") == 3
    assert text.count("## All datasets") == 1
