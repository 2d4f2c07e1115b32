import logging

import pytest

from entr.benchmark import equal_time
from entr.benchmark.equal_time import fit_epochs, fit_regimes, training_seconds
from entr.benchmark.unit_times import UnitTimes
from entr.config.epochs_file import read_epochs
from entr.config.regimes import Ramp, Regime
from entr.config.training import LearningRateFinder, Phase, Training
from entr.config.training_plan import Plan

TRAINING = Training(
    phases={"sgdr": Phase(cycles=2), "rpl": Phase(cycles=3, layers="all")}, schedule=("sgdr", "rpl"),
    subtotal_after="sgdr", full_size=40, batch_size=10, lr_finder=LearningRateFinder(steps=2), evaluation_sizes=(24,),
    tta_views=1, device="cpu",
)  # fmt: skip
UNITS = UnitTimes(
    start=0, resize={20: 1, 40: 1},
    step={(20, "head", 10): 1, (20, "all", 10): 3, (40, "head", 10): 4, (40, "all", 10): 12}, warm_up={},
    forward={20: 1, 40: 4}, training_images=100, validation_images=10,
)  # fmt: skip


def plan(**sizes):
    return Plan.of(TRAINING, Regime(**sizes, tta=40), pretrained=True)


LARGE, SMALL = plan(sgdr=40, rpl=40), plan(sgdr=20, rpl=20)


def test_epochs_are_multiplied_until_the_time_is_that_of_the_control():
    """A step at half the size costs a quarter."""
    epochs = fit_regimes(UNITS, {"large": LARGE, "small": SMALL}, "large")
    assert epochs == {"large": {"sgdr": 2, "rpl": 3}, "small": {"sgdr": 8, "rpl": 12}}
    seconds = training_seconds(UNITS, SMALL.with_epochs(epochs["small"]))
    # one image size is resized once, so there is a second less than a multiple of an epoch
    assert seconds == pytest.approx(training_seconds(UNITS, LARGE), abs=1)


@pytest.mark.parametrize("seconds", [100, 333, 777, 5000])
def test_numbers_of_epochs_come_as_close_as_the_cheapest_epoch(seconds):
    mixed = plan(sgdr=20, rpl=40)
    fitted = mixed.with_epochs(fit_epochs(UNITS, mixed, seconds))
    # an epoch of sgdr takes 10 s, one of rpl 120 s; only their proportion may prevent a closer match
    assert abs(training_seconds(UNITS, fitted) - seconds) <= max(60, 0.1 * seconds)


def test_every_phase_keeps_an_epoch():
    assert fit_epochs(UNITS, LARGE, 1) == {"sgdr": 1, "rpl": 1}


def test_ramps_by_step_are_fitted_too():
    ramp = Plan.of(TRAINING, Regime(ramp=Ramp(sizes=(20, 40), update="step"), tta=40), pretrained=True)
    seconds = training_seconds(UNITS, LARGE)
    epochs = fit_epochs(UNITS, ramp, seconds)
    assert sum(epochs.values()) > ramp.epochs
    assert training_seconds(UNITS, ramp.with_epochs(epochs)) == pytest.approx(seconds, rel=0.1)


def test_epochs_are_fitted_from_measured_steps_and_written(dataset, tmp_path, caplog, monkeypatch):
    measure, measured = equal_time.measure_unit_times, []

    def spy(*arguments):
        measured.append(measure(*arguments))
        return measured[-1]

    monkeypatch.setattr(equal_time, "measure_unit_times", spy)
    plans = {"large": LARGE.plain(), "small": SMALL.plain()}
    with caplog.at_level(logging.INFO, logger="entr"):
        equal_time.fit_and_write(
            tmp_path / "epochs.yaml", plans, "large", dataset="micrographs", model="resnet18",
            pixels=dataset / "pixels.npy", manifest=dataset / "manifest.csv", split=dataset / "split.csv", weights=None,
        )  # fmt: skip
    (units,) = measured
    expected = fit_regimes(units, {"large": LARGE, "small": SMALL}, "large")
    assert {name: read_epochs(tmp_path / "epochs.yaml", name) for name in plans} == expected
    assert expected["large"] == {"sgdr": 2, "rpl": 3}
    assert "micrographs resnet18 small:" in caplog.text
