import importlib
import json
import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import simulated

from entr import charts, pages
from entr.figures import confusions, drawing, outcomes, paths
from entr.figures.gallery import GALLERY, SAMPLES
from entr.figures.results import Results, read_table

DRAWN = [name for name in GALLERY if name != SAMPLES]


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "vega.js"
    pages.bundle(path)
    return path


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    return simulated.images(tmp_path_factory.mktemp("images"), simulated.TITLES)


def results(tables, images=None, *, datasets=("ucm",), models=("resnet18", "resnet50"), regimes=simulated.REGIMES):
    return Results(
        tables=tables,
        datasets={name: simulated.TITLES.get(name, name) for name in datasets},
        models=models,
        regimes=regimes,
        control="no-increase",
        basis="training",
        plans=simulated.plans(datasets, regimes),
        images=images or {},
    )


def spec(name, of):
    figure = GALLERY[name]
    return charts.spec_of(getattr(importlib.import_module(f"entr.figures.{figure.module}"), figure.function)(of))


def text(part):
    """Return a title or subtitle as it is shown at first, or the expression that makes it."""
    return part["expr"] if isinstance(part, dict) else " ".join(part)


@pytest.fixture(scope="module", params=[1, 2, 4], ids=lambda seeds: f"{seeds} seeds")
def whole(request):
    return simulated.grid(seeds=request.param)


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_drawn_in_four_formats_with_alternative_text_and_without_a_network(
    name, whole, images, library, tmp_path
):
    drawing.draw(name, asdict(GALLERY[name]), results(whole, images), library=library, folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{e}" for e in ("html", "svg", "png", "vl.json")}
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    html = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link)[^>]+src\s*=", html)
    svg = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    made = json.loads((tmp_path / f"{name}.vl.json").read_text(encoding="utf-8"))
    assert len(made["description"]) > 40
    assert 'aria-label="' in svg


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_that_has_nothing_to_show_yet_says_so(name):
    of = results({table: pd.DataFrame() for table in GALLERY[name].tables})
    said = text(spec(name, of)["title"]["text"])
    # the schedule is drawn from the configuration, which is always there
    assert "px" in said if name == "fig3" else " to " in said


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize(
    "keep",
    [
        "regime == 'no-increase'",
        "regime != 'no-increase'",
        "not (model == 'resnet50' and regime == 'gradual')",
        "model == 'resnet18'",
    ],
)
def test_a_figure_is_drawn_of_part_of_a_grid(name, keep, images):
    tables = simulated.grid(seeds=2)
    part = {table: rows.query(keep) for table, rows in tables.items() if table not in ("efficiency", "effects")}
    effects = tables["effects"]
    part["effects"] = effects[effects["regime"] == "gradual"] if "!=" in keep else pd.DataFrame()
    assert spec(name, results(part, images))["description"]


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_drawn_of_regimes_models_and_datasets_of_ones_own(name):
    regimes, models = ("no-increase", "mine", "null"), ("nan",)
    tables = simulated.grid(datasets=("NA", "None"), models=models, regimes=regimes, seeds=1)
    of = results(tables, datasets=("NA", "None"), models=models, regimes=regimes)
    assert "nothing" not in spec(name, of)["description"].lower()


def test_tables_keep_names_that_look_like_missing_numbers(tmp_path):
    table = pd.DataFrame({"label": ["nan", "NA", "01"], "basis": ["", "training", ""], "low": [np.nan, 1.5, 2]})
    table.to_csv(tmp_path / "some.csv", index=False)
    read = read_table(tmp_path / "some.csv")
    assert list(read["label"]) == ["nan", "NA", "01"]
    assert list(read["basis"]) == ["", "training", ""]
    assert np.isnan(read["low"][0])


def test_an_empty_table_is_read_as_one(tmp_path):
    (tmp_path / "effects.csv").write_text("\n")
    assert read_table(tmp_path / "effects.csv").empty


def test_class_names_reach_the_figure_whole_and_end_no_script(images, library, tmp_path):
    of = results(simulated.grid(seeds=1), images)
    drawing.draw("confusions", asdict(GALLERY["confusions"]), of, library=library, folder=tmp_path)
    html = (tmp_path / "confusions.html").read_text(encoding="utf-8")
    assert "\\u003c/script>" in html
    made = json.loads((tmp_path / "confusions.vl.json").read_text(encoding="utf-8"))
    labels = {row.get("label") for rows in made["datasets"].values() for row in rows}
    assert {"nan", "null", "</script>", 'quo"te', "É"} <= labels


def test_the_titles_state_the_effects_that_the_verdict_goes_by():
    tables = simulated.grid(seeds=4)
    effects = tables["effects"].query(
        "scope == 'all' and at == 'phase' and basis == 'training' and stage == 'total-tta' and regime == 'gradual'"
    )
    mean = effects.set_index("measure")["mean"]
    of = results(tables)
    assert f"gradual {np.exp(mean['log_efficiency_ratio']):.2f}" in text(spec("fig4", of)["title"]["text"])
    points = f"gradual {100 * mean['accuracy_difference']:+.1f} points".replace("-", "−")
    assert points in spec("fig5", of)["description"]


@pytest.mark.parametrize(
    ("seeds", "said"), [(1, "one replicate"), (2, "2 seeds, large: mean"), (4, "line: 95 % interval")]
)
def test_the_subtitle_says_what_the_number_of_seeds_can_bear(seeds, said):
    subtitle = text(spec("fig5", results(simulated.grid(seeds=seeds)))["title"]["subtitle"])
    assert said in subtitle
    assert ("interval" in subtitle) == (seeds == 4)


def test_random_first_weights_and_the_device_are_said_in_the_figures():
    for name in ("fig1", "fig4", "fig5", "front", "effects"):
        subtitle = text(spec(name, results(simulated.grid(seeds=1)))["title"]["subtitle"])
        assert "random first weights" in subtitle
        assert "a simulated processor" in subtitle


def test_accuracy_is_shown_beside_chance():
    subtitle = text(spec("fig5", results(simulated.grid(seeds=1)))["title"]["subtitle"])
    assert "by chance: UCM 4.8 %" in subtitle


def test_the_papers_figures_stand_beside_its_own_datasets_alone():
    datasets = ("ucm", "flowers")
    made = json.dumps(spec("fig5", results(simulated.grid(datasets=datasets, seeds=1), datasets=datasets)))
    assert "paper's best 97.1 %" in made
    assert "paper's best 85.6 %" not in made
    stand_in = json.dumps(spec("fig5", results(simulated.grid(datasets=("neu",), seeds=1), datasets=("neu",))))
    assert "paper's best" not in stand_in


def test_the_papers_accuracies_are_those_of_the_counts_that_they_fit():
    counts = outcomes.PAPERS_BEST["count"].str.extract(r"(\d+) of (\d+)").astype(int)
    assert np.allclose(counts[0] / counts[1], outcomes.PAPERS_BEST["value"], atol=5e-4)


def test_a_regime_has_one_colour_and_shape_whichever_others_are_shown():
    alone = charts.regime_scales(["gradual"])
    among = charts.regime_scales(["no-increase", "gradual", "stepwise"])

    def marks(scales, channel):
        scale = scales[channel].to_dict()["scale"]
        return dict(zip(scale["domain"], scale["range"], strict=True))

    for channel in ("color", "shape"):
        one, other = marks(alone, channel), marks(among, channel)
        assert one["gradual"] == other["gradual"]
        assert len(set(other.values())) == 3


def test_a_switch_for_time_offers_the_configured_basis_first_and_no_basis_that_is_missing():
    tables = simulated.grid(seeds=1, bases=("training", "latency"))
    of = results(tables)
    object.__setattr__(of, "basis", "latency")
    (switch,) = spec("fig4", of)["params"]
    assert switch["value"] == "latency"
    assert switch["bind"]["options"] == ["latency", "training"]


def test_the_front_holds_what_nothing_equals_in_both():
    time, accuracy = pd.Series([1, 2, 2, 3]), pd.Series([0.8, 0.9, 0.85, 0.9])
    assert paths._undominated(time, accuracy) == [True, True, False, False]


def test_the_most_confused_pairs_come_with_an_image_of_each_class(images):
    made = spec("confusions", results(simulated.grid(seeds=1), images))
    tiles = [row for rows in made["datasets"].values() for row in rows if "url" in row]
    assert {row["line"] for row in tiles} == {0, 1}
    assert all(row["url"].startswith("data:image/jpeg;base64,") for row in tiles)
    assert sum(row["line"] == 0 for row in tiles) == confusions.PAIRS


def test_nothing_confused_is_said():
    tables = simulated.grid(seeds=1)
    right = tables["confusions"].query("label == predicted")
    assert "Nothing is confused" in text(spec("confusions", results(tables | {"confusions": right}))["title"]["text"])


def test_datasets_with_one_title_are_told_apart():
    of = Results({}, {"a": "Same", "b": "Same", "c": "Other"}, (), (), "no-increase", "training")
    assert of.titles == {"a": "Same (a)", "b": "Same (b)", "c": "Other"}
