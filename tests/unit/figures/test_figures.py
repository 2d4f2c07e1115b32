import importlib
import json
import re

import numpy as np
import pandas as pd
import pytest
import simulated

from entr.figures import confusion_matrices, render, sample_images
from entr.figures.catalogue import CATALOGUE, SAMPLE_IMAGES
from entr.figures.pareto_front import undominated

FIGURES = [name for name in CATALOGUE if name != SAMPLE_IMAGES]


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


def test_accuracy_reached_by_no_treatment_is_stated():
    tables = simulated.grid(seeds=1)
    history = tables["history"]
    control = history["regime"] == "no-increase"
    perfect = history.assign(accuracy=history["accuracy"].mask(control, 1))
    title = text(plot("fig1_accuracy_time", simulated.figure_data(tables | {"history": perfect}))["title"]["text"])
    assert title == "Not within 1 point of no-increase's final accuracy: gradual and stepwise"


def test_time_switch_starts_with_the_configured_time_basis_and_omits_absent_ones():
    tables = simulated.grid(seeds=1, time_bases=("training", "latency"))
    (switch,) = plot("fig4_efficiency", simulated.figure_data(tables, time_basis="latency"))["params"]
    assert switch["value"] == "latency"
    assert switch["bind"]["options"] == ["latency", "training"]


def test_pareto_front_excludes_points_that_another_point_dominates():
    time, accuracy = pd.Series([1, 2, 2, 3]), pd.Series([0.8, 0.9, 0.85, 0.9])
    assert undominated(time, accuracy) == [True, True, False, False]


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
    shown = {row["label"] for row in rows_of(plot("confusion_matrices", simulated.figure_data(tables)))}
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
