"""Fig. 3 for the published schedules: ramps, random sizes and phases of their own."""

from itertools import pairwise

import published_schedules
import pytest
import simulated

from entr.config.regimes import Regime
from entr.config.training import Training
from entr.config.training_plan import Plan
from entr.figures import charts, schedule
from entr.figures.figure_data import FigureData

END = 19
"""Epochs of the longest schedule."""


@pytest.fixture(scope="module")
def plans():
    settings = published_schedules.config()
    return {regime: settings.plan("ucm", regime) for regime in settings.grid.regimes}


@pytest.fixture(scope="module")
def spec():
    return schedule.plot(published_schedules.figure_data({}))


def bars(plan, end=END):
    return list(schedule.size_bars("a regime", plan, end))


def small(*regimes):
    """Return the data of the figure for a few of the published schedules."""
    settings = published_schedules.config()
    plans = {regime: settings.plan("ucm", regime).plain() for regime in regimes}
    return FigureData({}, simulated.design(regimes=regimes), plans={"ucm": plans})


def test_bars_cover_every_epoch_of_every_schedule_once(plans):
    for regime, plan in plans.items():
        epochs = [epoch for bar in bars(plan) for epoch in range(bar["from"], bar["to"])]
        assert epochs == list(range(plan.epochs)), regime


def test_bars_of_a_ramp_increase_from_epoch_to_epoch_without_gaps(plans):
    ramp = bars(plans["composer"])
    assert (ramp[0]["sizes"], ramp[-1]["sizes"]) == ("125", "250")
    # from 50 to 80 % of 19 epochs, in steps of 5 px
    increasing = [tuple(map(int, bar["sizes"].split("–"))) for bar in ramp if "–" in bar["sizes"]]
    assert [bar["from"] for bar in ramp if "–" in bar["sizes"]] == list(range(9, 16))
    assert all(first % 5 == last % 5 == 0 for first, last in increasing)
    assert increasing[0][0] == 125
    assert increasing[-1][1] == 250
    assert all(before[1] == after[0] for before, after in pairwise(increasing))


def test_sizes_of_bars_are_those_at_which_the_model_is_validated(plans):
    for plan in (plans["composer"], plans["ffcv"], plans["dawnbench"]):
        sizes = [bar["size"] for bar in bars(plan) for _ in range(bar["from"], bar["to"])]
        assert sizes == [phase.input_size_in(epoch) for phase in plan.phases for epoch in range(phase.epochs)]


def test_labels_fit_into_their_bars(plans):
    for plan in plans.values():
        for bar in bars(plan):
            width = charts.CHART_WIDTH * (bar["to"] - bar["from"]) / END
            assert 0.57 * charts.LABEL_SIZE * len(bar["label"]) < width
    assert all(bar["label"] for bar in bars(plans["composer"]))
    # an epoch of 200 has room for nothing
    assert {bar["label"] for bar in bars(plans["composer"], end=200) if bar["to"] - bar["from"] == 1} == {""}


def test_random_size_that_is_drawn_more_often_is_named_once(plans):
    labels = [bar["label"] for bar in bars(plans["mix-and-match"])]
    assert labels == ["107, 143, 250", "107, 143, 250", *(2 * ["random of 107, 143, 250"])]


def test_upsampled_sizes_are_labelled_with_both_sizes():
    sizes = {"sgdr": 100, "clrs": 150, "cmult": 200, "rpl": 250}
    plan = Plan.of(Training(), Regime(**sizes, tta=250, upsample_to=250), pretrained=True)
    assert [bar["label"] for bar in bars(plan)] == ["100→250", "150→250", "200→250", "250→250"]


def test_title_of_many_schedules_states_the_range_and_the_alternative_text_each_schedule(spec):
    assert spec["title"]["text"] == ["Image sizes of 12 regimes, from 100 to 250 px"]
    for text in ("dawnbench 111, 194, 250", "composer 125–250", "mix-and-match random of 107, 143, 250"):
        assert text in spec["description"]
    assert len(spec["description"]) < 500


def test_title_of_few_schedules_states_the_sizes_of_each():
    text = " ".join(schedule.plot(small("no-increase", "gradual", "composer"))["title"]["text"])
    assert text == "Image sizes in px: no-increase 250; gradual 100, 150, 200, 250; composer 125–250"


def panel_titles(spec):
    parts = [part for group in spec["vconcat"] for part in group["vconcat"]]
    return [part["title"]["text"] for part in parts if "title" in part]


def test_learning_rates_that_differ_from_those_of_the_control_have_panels_of_their_own(spec):
    names = [title.removeprefix("Learning rate of ") for title in panel_titles(spec)[1:]]
    assert names == ["no-increase", "dawnbench", "fixres"]
    assert "own ones: dawnbench, fixres" in spec["title"]["subtitle"]["expr"]


def test_schedules_with_the_learning_rates_of_the_control_share_one_unnamed_panel():
    spec = schedule.plot(small("no-increase", "matched", "stepwise"))
    assert panel_titles(spec) == ["UCM"]
    assert "own ones" not in spec["title"]["subtitle"]["expr"]


def test_names_of_short_phases_do_not_overlap(plans):
    names = list(schedule._phase_names(plans["dawnbench"], END))
    ends = {}
    for name in names:
        width = 6.3 * len(name["phase"])
        anchor = charts.CHART_WIDTH * name["start" if name["align"] == "left" else "stop"] / END
        start = anchor + 4 if name["align"] == "left" else anchor - 4 - width
        assert start > ends.get(name["line"], 0), name
        ends[name["line"]] = start + width
    assert max(ends.values()) < charts.CHART_WIDTH
