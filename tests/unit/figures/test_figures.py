import importlib
import json
import re

import numpy as np
import pandas as pd
import pytest
import simulated

from entr.figures import confusion_matrices, pareto_front, render, sample_images
from entr.figures.catalogue import CATALOGUE, SAMPLE_IMAGES
from entr.metrics.labels import describe_share

FIGURES = [name for name in CATALOGUE if name != SAMPLE_IMAGES]
REGIMES = ("no-increase", "gradual", "stepwise", "small", *(f"published-{number}" for number in range(8)))
"""As many as a grid of published schedules has."""


def plot(name, data):
    """Return a figure as Vega-Lite."""
    return importlib.import_module(f"entr.figures.{CATALOGUE[name].module}").plot(data)


def text(part):
    """Return a title or subtitle as it is initially shown, or the expression that returns it."""
    return part["expr"] if isinstance(part, dict) else " ".join(part)


def rows_of(spec):
    """Return the rows of all data of a chart."""
    return [row for rows in spec["datasets"].values() for row in rows]


@pytest.fixture(scope="module", params=[1, 2, 4], ids=lambda seeds: f"{seeds} seeds")
def grid(request):
    return simulated.grid(seeds=request.param)


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_saved_in_four_formats_with_alternative_text_and_without_links(name, grid, images, library, tmp_path):
    data = simulated.figure_data(grid, images)
    render.plot_figure(name, CATALOGUE[name].plain(), data, library=library, folder=tmp_path)
    endings = ("html", "svg", "png", "vl.json")
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{ending}" for ending in endings}
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    html = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link)[^>]+src\s*=", html)
    svg = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    spec = json.loads((tmp_path / f"{name}.vl.json").read_text(encoding="utf-8"))
    assert len(spec["description"]) > 40
    assert 'aria-label="' in svg


@pytest.mark.parametrize("name", FIGURES)
def test_figure_without_results_states_why_it_is_empty(name):
    data = simulated.figure_data({table: pd.DataFrame() for table in CATALOGUE[name].tables})
    title = text(plot(name, data)["title"]["text"])
    # the schedule is drawn from the configuration, which always exists
    assert "px" in title if name == "fig3_schedule" else title.startswith("No ")


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(
    "condition",
    [
        "regime == 'no-increase'",
        "regime != 'no-increase'",
        "not (model == 'resnet50' and regime == 'gradual')",
        "model == 'resnet18'",
    ],
)
def test_figure_of_a_partial_grid(name, condition, images):
    tables = simulated.grid(seeds=2)
    part = {table: rows.query(condition) for table, rows in tables.items() if table not in ("pairs", "effects")}
    effects = tables["effects"]
    part["effects"] = effects[effects["regime"] == "gradual"] if "!=" in condition else pd.DataFrame()
    assert plot(name, simulated.figure_data(part, images))["description"]


@pytest.mark.parametrize("name", FIGURES)
def test_figure_of_twelve_regimes(name):
    factors = {"regimes": REGIMES, "models": ("resnet18",), "seeds": 2}
    data = simulated.figure_data(simulated.grid(**factors, time_bases=("training",)), **factors)
    assert not plot(name, data)["description"].startswith("No ")


@pytest.mark.parametrize("name", FIGURES)
def test_figure_of_custom_regimes_models_and_datasets(name):
    factors = {"datasets": ("NA", "None"), "models": ("nan",), "regimes": ("no-increase", "mine", "null")}
    data = simulated.figure_data(simulated.grid(**factors, seeds=1), **factors)
    assert not plot(name, data)["description"].startswith("No ")


def test_class_names_with_markup_are_shown_unchanged_and_end_no_script(images, library, tmp_path):
    name = "confusion_matrices"
    data = simulated.figure_data(simulated.grid(seeds=1), images)
    render.plot_figure(name, CATALOGUE[name].plain(), data, library=library, folder=tmp_path)
    html = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert "\\u003c/script>" in html
    spec = json.loads((tmp_path / f"{name}.vl.json").read_text(encoding="utf-8"))
    assert {"nan", "null", "</script>", 'quo"te', "É"} <= {row.get("label") for row in rows_of(spec)}


def test_titles_state_the_pooled_effects_on_the_final_results():
    tables = simulated.grid(seeds=4)
    effects = tables["effects"].query(
        "scope == 'all' and resolution == 'phase' and time_basis == 'training' and stage == 'total-tta' "
        "and regime == 'gradual'"
    )
    mean = effects.set_index("metric")["mean"]
    data = simulated.figure_data(tables)
    ratio = f"gradual {np.exp(mean['log_efficiency_ratio']):.2f}"
    assert ratio in text(plot("fig4_efficiency", data)["title"]["text"])
    points = f"gradual {100 * mean['accuracy_difference']:+.1f} points".replace("-", "−")
    assert points in plot("fig5_accuracy", data)["description"]


def test_seeds_of_the_effects_include_those_whose_efficiency_is_undefined():
    tables = simulated.grid(seeds=4)
    rows = tables["effects"]
    is_undefined = (rows["metric"] == "log_efficiency_ratio") & (rows["stage"] == "sub-total")
    tables["effects"] = rows.assign(replicates=rows["replicates"].mask(is_undefined, 3))
    subtitle = text(plot("effects", simulated.figure_data(tables))["title"]["subtitle"])
    assert "4 seeds per dataset" in subtitle
    assert "3 to" not in subtitle


@pytest.mark.parametrize(
    ("seeds", "words"),
    [(1, "one replicate"), (2, "2 seeds, large points: means"), (4, "lines: 95 % intervals")],
)
def test_subtitle_mentions_intervals_only_if_there_are_enough_seeds(seeds, words):
    subtitle = text(plot("fig5_accuracy", simulated.figure_data(simulated.grid(seeds=seeds)))["title"]["subtitle"])
    assert words in subtitle
    assert ("interval" in subtitle) == (seeds == 4)


@pytest.mark.parametrize("name", ["fig1_accuracy_time", "fig4_efficiency", "fig5_accuracy", "pareto_front", "effects"])
def test_subtitle_states_random_initial_weights_and_the_device(name):
    subtitle = text(plot(name, simulated.figure_data(simulated.grid(seeds=1)))["title"]["subtitle"])
    assert "randomly initialised weights" in subtitle
    assert "a simulated processor" in subtitle


def test_accuracy_is_shown_with_the_chance_level():
    subtitle = text(plot("fig5_accuracy", simulated.figure_data(simulated.grid(seeds=1)))["title"]["subtitle"])
    assert "chance level: UCM 4.8 %" in subtitle


def test_published_accuracies_are_shown_only_for_the_paper_s_datasets():
    def labels(*datasets):
        data = simulated.figure_data(simulated.grid(datasets=datasets, seeds=1), datasets=datasets)
        rows = rows_of(plot("fig5_accuracy", data))
        return {row["label"] for row in rows if row["kind"] == "reference"}

    assert labels("ucm", "flowers") - {""} == {"paper's best 91.4 %", "paper's best 97.1 %"}
    assert labels("neu") == set()


def test_time_to_accuracy_of_the_treatments_is_stated():
    tables = simulated.grid(seeds=4)
    effects = tables["time_to_accuracy_effects"].query("scope == 'all' and regime == 'gradual'").iloc[0]
    words = f"gradual after {100 * effects['time_ratio']:.0f} %"
    uncertain = not (effects["low"] > 1 or effects["high"] < 1)
    for name in ("fig1_accuracy_time", "time_to_accuracy"):
        description = plot(name, simulated.figure_data(tables))["description"]
        assert description.startswith(f"98 % of the last-epoch accuracy: {words}")
        mark = re.search(r"of the control's time \(not significant(.*?)\)", description)
        assert uncertain == bool(mark and (not mark[1] or "gradual" in mark[1]))


def test_accuracy_that_not_all_cells_reach_is_stated():
    tables = simulated.grid(seeds=2)
    effects = tables["time_to_accuracy_effects"]
    is_gradual = effects["regime"] == "gradual"
    missed = effects.assign(
        reached_cells=effects["reached_cells"].mask(is_gradual, 0).where(is_gradual, 3),
        cells=4,
        time_ratio=effects["time_ratio"].mask(is_gradual),
    )
    spec = plot("time_to_accuracy", simulated.figure_data(tables | {"time_to_accuracy_effects": missed}))
    assert "(in 3 of 4 cells) of the control's time (not significant); not reached by gradual" in spec["description"]
    shown = {(row["regime"], row["text"], row["count"]) for row in rows_of(spec) if row["regime"] == "gradual"}
    assert shown == {("gradual", "not reached", "0 of 4")}


def test_pareto_front_labels_each_regime_with_its_share():
    factors = {"regimes": REGIMES[:6], "datasets": ("ucm", "bees"), "seeds": 4}
    tables = simulated.grid(**factors, time_bases=("training",))
    spec = plot("pareto_front", simulated.figure_data(tables, **factors))
    rows = [row for row in rows_of(spec) if "label_place" in row]
    case = {"stage": "total-tta", "time_basis": "training"}
    shown = [row for row in rows if case.items() <= row.items()]
    assert len(shown) == 6 * (1 + 2 * 2)
    expected = tables["pareto_front"].query("scope == 'all' and stage == 'total-tta' and time_basis == 'training'")
    shares = dict(zip(expected["regime"], expected["front_share"], strict=True))
    pooled = {row["regime"]: row["label"] for row in shown if row["scope"] == "all"}
    assert pooled == {regime: f"{regime} {describe_share(share)}" for regime, share in shares.items()}
    title = text(spec["title"]["text"])
    assert all((pooled[regime] in title) == (share >= 0.5) for regime, share in shares.items())


def test_labels_of_the_pareto_front_do_not_overlap():
    factors = {"regimes": REGIMES, "models": ("resnet18",), "seeds": 2}
    tables = simulated.grid(**factors, time_bases=("training",))
    spec = plot("pareto_front", simulated.figure_data(tables, **factors))
    shown = [row for row in rows_of(spec) if row.get("stage") == "total-tta" and "label_place" in row]
    places = sorted(row["label_place"] for row in shown)
    assert len(places) == len(REGIMES)
    limits = [row[f"{side}_accuracy"] for row in shown for side in ("low", "high")]
    apart = pareto_front.LABEL_DISTANCE / pareto_front.PANEL_HEIGHT * (max(limits) - min(limits))
    assert np.diff(places).min() >= 0.99 * apart


def test_pareto_front_of_one_seed_has_no_shares():
    spec = plot("pareto_front", simulated.figure_data(simulated.grid(seeds=1)))
    assert "%" not in text(spec["title"]["text"])
    assert "bootstrap" not in text(spec["title"]["subtitle"])


def test_time_switch_starts_with_the_configured_time_basis_and_omits_absent_ones():
    tables = simulated.grid(seeds=1, time_bases=("training", "latency"))
    (switch,) = plot("fig4_efficiency", simulated.figure_data(tables, time_basis="latency"))["params"]
    assert switch["value"] == "latency"
    assert switch["bind"]["options"] == ["latency", "training"]


def test_most_frequent_confusions_have_an_image_of_each_class(images):
    spec = plot("confusion_matrices", simulated.figure_data(simulated.grid(seeds=1), images))
    examples = [row for row in rows_of(spec) if "url" in row]
    assert {row["line"] for row in examples} == {0, 1}
    assert all(row["url"].startswith("data:image/jpeg;base64,") for row in examples)
    assert sum(row["line"] == 0 for row in examples) == confusion_matrices.CONFUSIONS


def test_large_confusion_matrix_is_limited_to_the_most_confused_classes():
    names = [f"class {number:02}" for number in range(40)]
    rows = [
        {"label": name, "predicted": predicted, "images": images, "example": "a.png"}
        for number, name in enumerate(names)
        for predicted, images in ((name, 100), (names[number - 1], number + 1))
    ]
    key = {"dataset": "ucm", "model": "resnet18", "regime": "gradual", "seed": 0}
    accuracy = {"metric": "accuracy", "resolution": "phase", "stage": "total-tta", "mean": 0.8}
    tables = {"confusions": pd.DataFrame([key | row for row in rows]), "summary": pd.DataFrame([key | accuracy])}
    chart = plot("confusion_matrices", simulated.figure_data(tables))
    shown = {row["label"] for row in rows_of(chart)}
    assert "the 30 of 40 classes with the most confusions are shown" in json.dumps(chart)
    assert len(shown) == confusion_matrices.MAX_CLASSES
    assert set(names[-confusion_matrices.CONFUSIONS :]) < shown
    assert names[0] not in shown


def test_perfect_predictions_have_no_confusions():
    tables = simulated.grid(seeds=1)
    correct = tables["confusions"].query("label == predicted")
    spec = plot("confusion_matrices", simulated.figure_data(tables | {"confusions": correct}))
    assert text(spec["title"]["text"]) == "No image is misclassified"


def test_sample_images_show_each_class_once_and_are_listed(images, library, tmp_path):
    labels = ["b", "a", "b", "nan"]
    manifest = pd.DataFrame(
        {"image": [f"{number:02}.png" for number in range(4)], "label": labels, "sha256": ["3", "2", "1", "0"]}
    ).assign(source="original.png")
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    sample_images.plot_sample_images(
        {"ucm": "UCM"},
        {"ucm": tmp_path / "manifest.csv"},
        {"ucm": images["ucm"]},
        CATALOGUE[SAMPLE_IMAGES].plain(),
        table=tmp_path / "sample_images.csv",
        library=library,
        folder=tmp_path,
    )
    table = pd.read_csv(tmp_path / "sample_images.csv", keep_default_na=False)
    assert list(table["label"]) == ["a", "b", "nan"]
    assert list(table["image"]) == ["01.png", "02.png", "03.png"]
    spec = json.loads((tmp_path / f"{SAMPLE_IMAGES}.vl.json").read_text(encoding="utf-8"))
    assert [row["label"] for row in rows_of(spec)] == ["a", "b", "nan"]
