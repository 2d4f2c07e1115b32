import time

import pandas as pd
import pytest
import yaml

from entr.benchmark import budget_fit
from entr.benchmark.budget_fit import RunEstimate
from entr.benchmark.runtime_estimate import SECONDS_PER_JOB, seconds_after_training
from entr.benchmark.unit_times import UnitTimes
from entr.config.budget_file import Budget, BudgetGrid
from entr.config.regimes import Regime
from entr.config.schema import Images
from entr.config.training import LearningRateFinder, Phase, Training
from entr.config.training_plan import Plan
from entr.data.sample import ImageSample

TRAINING = Training(
    phases={"rpl": Phase(layers="all")}, schedule=("rpl",), subtotal_after="rpl", full_size=24, batch_size=10,
    lr_finder=LearningRateFinder(steps=2), evaluation_sizes=(), tta_views=0, device="cpu",
)  # fmt: skip
PLANS = {regime: Plan.of(TRAINING, Regime(rpl=24, tta=24), pretrained=False) for regime in ("no-increase", "gradual")}
UNITS = UnitTimes(
    start=1, resize={24: 1}, step={(24, "all", 10): 1}, warm_up={(24, "all", 10): 0}, forward={24: 0},
    training_images=100, validation_images=10,
)  # fmt: skip
CELL = 1 + 1 + 10 + 2
"""Seconds of a cell: start, resizing, 10 steps, and 2 of the learning-rate finder."""


def grid(**changes):
    values = {"models": ("resnet18",), "regimes": ("no-increase", "gradual"), "seeds": (0, 1), "scale": 1.0}
    return BudgetGrid(**values | changes)


def run_estimate(passed, measured):
    def measure(*key):
        measured.append(key)
        return UNITS

    sample = ImageSample("pixels.npy", pd.DataFrame(), files=1000, usable_fraction=1, seconds_per_file=0.01)
    return RunEstimate(
        time.perf_counter() - passed, {1.0: {"m": PLANS}}, {"m": sample}, measure, 5, 2, "no-increase", "epochs", [1], 0
    )


def test_hours_of_a_run_are_the_sum_of_its_parts():
    measured = []
    estimate = run_estimate(passed=60, measured=measured)
    preparation = 1000 * 0.01 + budget_fit.SECONDS_PER_PAIR * 1e6 + 4 * SECONDS_PER_JOB
    cells, benchmark = 2 * 2 * (5 + CELL), 2 * (5 + 1)
    seconds = 60 + preparation + cells + benchmark + seconds_after_training(2)
    assert 3600 * estimate.hours(grid()) == pytest.approx(seconds, abs=1)
    more = 3600 * (estimate.hours(grid(seeds=(0, 1, 2, 3))) - estimate.hours(grid()))
    assert more == pytest.approx(2 * 2 * (5 + CELL) + SECONDS_PER_JOB, abs=0.5)
    assert measured == [("m", "resnet18", 1.0)]


def test_hours_do_not_depend_on_a_system_clock_that_is_set_meanwhile(monkeypatch):
    estimate = run_estimate(passed=60, measured=[])
    before = estimate.hours(grid())
    monkeypatch.setattr(time, "time", lambda: 1e10)
    assert 3600 * (estimate.hours(grid()) - before) == pytest.approx(0, abs=1)


def test_grid_that_fits_is_chosen_from_steps_measured_on_real_images(originals, tmp_path):
    plans = {1.0: {"m": {regime: plan.plain() for regime, plan in PLANS.items()}}}

    def fit(hours):
        budget_fit.fit_budget(
            tmp_path / "budget.yaml", hours=hours, grid=grid().model_dump(), control="no-increase", match="epochs",
            plans=plans, images=Images(max_side=24).model_dump(), split={"folds": 5, "test": 0.1},
            inference={"batch_sizes": [1], "min_seconds": 0.1}, configuration="c", listing="l",
            originals={"m": str(originals)}, weights={}, cores=1,
        )  # fmt: skip
        return Budget.model_validate(yaml.safe_load((tmp_path / "budget.yaml").read_text()))

    plenty = fit(1000)
    assert plenty.grid == grid(seeds=(0, 1, 2, 3, 4, 5))
    assert plenty.left_out == ()
    too_few = fit(1e-6)
    assert too_few.grid is None
    assert 1e-6 < too_few.expected_hours < plenty.expected_hours
