import numpy as np
import pandas as pd
import simulated

from entr.analysis.recommendation import Choice, Interval
from entr.jobs.tables import read_table, write_table
from entr.report.recommendation import render_recommendation, write_recommendation

LIMITS = {"max_seconds": 1e6, "min_accuracy": 0.5}
NO_LIMITS = {"max_seconds": None, "min_accuracy": None}


def test_recommendation_states_every_choice_the_limits_and_the_exported_model(tmp_path):
    grid = simulated.grid(seeds=3)
    for name in ("metrics", "summary"):
        write_table(grid[name], tmp_path / f"{name}.csv")
    outputs = {"table": tmp_path / "recommendation.csv", "text": tmp_path / "recommendation.md"}
    inputs = [tmp_path / "metrics.csv", tmp_path / "summary.csv"]
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
    text = render_recommendation([Choice(**vars(choice) | values)], simulated.design(), NO_LIMITS)
    assert "| the most accurate | resnet18 | gradual | 50.0 | 12.0 | 0.200 | 1 |" in text
    assert "- **The most accurate**: no alternative was run." in text
    assert "Your limits (`recommend`): none." in text


def test_dataset_without_finished_cells_is_reported():
    text = render_recommendation([], simulated.design(), NO_LIMITS)
    assert "## UCM\n\nNo cell of this dataset is finished.\n" in text


def test_table_of_recommendations_has_one_column_per_number():
    row = Choice("ucm", "within_limits", "nothing", False).row()
    assert pd.isna(row["accuracy_low"])
    assert np.isnan(row["seconds"])
    assert row["model"] == ""


def test_held_out_test_images_are_mentioned_if_there_are_any():
    sentence = "The model card in `results/models` states its accuracy on test images that were held out."
    assert sentence in render_recommendation([], simulated.design(), NO_LIMITS, tested=True)
    assert sentence not in render_recommendation([], simulated.design(), NO_LIMITS)


def test_what_fits_into_the_budget_is_stated_if_there_is_one():
    text = render_recommendation([], simulated.design(), NO_LIMITS, budget=["budget of 2 h: 3 seeds", "not: scale 1"])
    assert text.endswith("\n\nThe grid was chosen to fit into the time:\n\n- budget of 2 h: 3 seeds\n- not: scale 1\n")
    assert "fit into" not in render_recommendation([], simulated.design(), NO_LIMITS)
