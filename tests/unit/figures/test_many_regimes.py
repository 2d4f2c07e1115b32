"""Figures of the twelve published schedules, which differ in phases, sizes, epochs and learning rates."""

import importlib
import json
import re

import pandas as pd
import published_schedules
import pytest
import simulated

from entr.figures import palette, recorded_schedule, render, small_multiples, throughput
from entr.figures.catalogue import CATALOGUE, SAMPLE_IMAGES
from entr.figures.figure_data import CELL_GROUP

FIGURES = [name for name in CATALOGUE if name != SAMPLE_IMAGES]
BY_REGIME = ["fig1_accuracy_time", "learning_curves", "evaluation_sizes"]
LONGEST_TITLE, LONGEST_DESCRIPTION = 130, 500
"""Characters; the title of an image has this many in one line."""


DATASETS = ("ucm", "flowers")


@pytest.fixture(scope="module", params=[1, 2], ids=["one dataset", "two datasets"])
def data(request, images):
    tables = published_schedules.grid(datasets=DATASETS)
    return published_schedules.figure_data(tables, images, datasets=DATASETS[: request.param])


def plot(name, data):
    return importlib.import_module(f"entr.figures.{CATALOGUE[name].module}").plot(data)


def parts_of(spec):
    """Yield every part of a specification."""
    if isinstance(spec, dict):
        yield spec
        for value in spec.values():
            yield from parts_of(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from parts_of(value)


def facets_of(spec):
    """Return the small multiples of each dataset."""
    return spec["vconcat"]


@pytest.mark.parametrize("name", FIGURES)
def test_title_and_alternative_text_of_many_regimes_are_short(name, data):
    spec = plot(name, data)
    assert not spec["description"].startswith("No ")
    assert max(map(len, spec["usermeta"]["titles"].values())) <= LONGEST_TITLE
    assert len(spec["description"]) <= LONGEST_DESCRIPTION


@pytest.mark.parametrize("name", FIGURES)
def test_charts_of_many_regimes_are_not_wider_than_the_page(name, data, library, tmp_path):
    render.plot_figure(name, CATALOGUE[name].plain(), data, library=library, folder=tmp_path)
    svg = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    assert float(svg.partition('width="')[2].partition('"')[0]) < 1150


@pytest.mark.parametrize("name", BY_REGIME)
def test_each_regime_has_a_panel_with_the_control_in_black_and_the_others_in_grey(name, data):
    spec = plot(name, data)
    facets = facets_of(spec)
    assert len(facets) == len(data.titles)
    for facet in facets:
        assert facet["facet"]["sort"] == list(data.design.regimes)
        of_others, of_control, *own = facet["spec"]["layer"]
        assert of_others["mark"]["color"] == palette.FRAME
        assert of_control["mark"]["color"] == palette.COLOURS["no-increase"].mark
        assert "no-increase" in json.dumps(of_control["transform"])
        # these two show all rows in each panel, the other layers those of its regime
        behind = spec["datasets"][of_others["data"]["name"]]
        assert {row["regime"] for row in behind} == set(data.design.regimes)
        assert of_control["data"] == of_others["data"]
        assert all("data" not in layer for layer in own)
        # Altair moves the data of a single facet to the top
        assert facet.get("data", spec.get("data")) != of_others["data"]


@pytest.mark.parametrize("name", BY_REGIME)
def test_panels_are_named_in_the_colours_of_their_regimes(name, data, library, tmp_path):
    render.plot_figure(name, CATALOGUE[name].plain(), data, library=library, folder=tmp_path)
    svg = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    for regime in data.design.regimes:
        colour = palette.COLOURS[regime].text
        assert len(re.findall(f'<text[^>]*fill="{colour}"[^>]*>{regime}</text>', svg)) == len(data.titles)


def test_curves_of_few_regimes_share_a_panel():
    data = simulated.figure_data(simulated.grid(seeds=1))
    for name in BY_REGIME:
        spec = plot(name, data)
        assert not any(part.get("field") == "panel" for part in parts_of(spec)), name
        assert {param["name"] for param in spec.get("params", [])} <= {"chosen_curve"}


def test_model_is_selected_by_a_switch():
    factors = {"models": ("resnet18", "resnet50"), "seeds": 1}
    data = published_schedules.figure_data(published_schedules.grid(**factors), **factors)
    for name in [*BY_REGIME, "lr_finder"]:
        spec = plot(name, data)
        switches = {param["name"]: param["bind"]["options"] for param in spec["params"] if "bind" in param}
        assert switches["chosen_model"] == ["resnet18", "resnet50"]
        assert len(spec["usermeta"]["titles"]) == 2 * len(switches.get("chosen_curve", [1]))


def test_labels_of_image_sizes_do_not_overlap():
    rows = pd.DataFrame({"epoch": range(1, 21), "regime": "composer", "label": [str(125 + n) for n in range(20)]})
    rows = small_multiples.thin_out_labels(rows.assign(dataset="UCM"), ["dataset", "regime"], "epoch")
    for room in (1, 0.5):
        kept = rows[(rows["label"] != "") & (rows["needed"] <= room * rows["available"])]
        places = room * kept["epoch"] * small_multiples.PANEL_WIDTH / 20
        assert places.diff().min() >= small_multiples.MIN_LABEL_GAP or len(kept) == 1
        assert kept["label"].iloc[-1] == "144"
        assert len(kept) > 4 or room < 1


def test_finder_of_phases_that_regimes_do_not_share_has_a_panel_per_regime(data):
    for facet in facets_of(plot("lr_finder", data)):
        assert facet["facet"]["sort"] == list(data.design.regimes)


def test_finder_shows_the_last_of_several_sizes_of_a_phase(data):
    rows = [row for rows in plot("lr_finder", data)["datasets"].values() for row in rows]
    own = [row for row in rows if row["regime"] == "mix-and-match" and row["phase"] == "sgdr"]
    assert {row["size"] for row in own} == {250}


def test_recorded_schedule_has_a_row_per_regime_and_keeps_every_jump(data):
    spec = plot("recorded_schedule", data)
    assert [len(column["facet"]["row"]["sort"]) for column in spec["hconcat"]] == [12, 12, 12]
    assert len(json.dumps(spec)) < 1_500_000
    sizes = spec["datasets"][spec["hconcat"][0]["data"]["name"]]
    drawn = {row["value"] for row in sizes if row["regime"] == "composer"}
    assert drawn == set(range(125, 251, 5))


def test_random_sizes_are_thinned_out(data):
    steps = data.rows("steps")
    cell = steps[(steps["regime"] == "mix-and-match") & (steps["dataset"] == "UCM")]
    many = pd.concat([cell] * 10, ignore_index=True).assign(step=range(1, 10 * len(cell) + 1))
    thinned = recorded_schedule._thin_out(many)
    assert len(thinned) < recorded_schedule.MAX_JUMPS + 2 * recorded_schedule.MAX_STEPS
    assert set(thinned["size"]) == {107, 143, 250}


def test_throughput_leaves_out_epochs_whose_image_size_changes(data):
    history, steps = data.rows("history"), data.rows("steps")
    shown = throughput._of_one_size(history, steps)
    assert "mix-and-match" not in set(shown["regime"])
    ramp = shown[shown["regime"] == "composer"].groupby(CELL_GROUP)["epoch"].unique()
    # constant until 50 % and from 80 % of 19 epochs
    assert all(list(epochs) == [*range(1, 10), 17, 18, 19] for epochs in ramp)


def test_effects_of_many_regimes_name_only_those_of_the_paper(data):
    description = plot("effects", data)["description"]
    assert "gradual" in description
    assert "dawnbench" not in description
