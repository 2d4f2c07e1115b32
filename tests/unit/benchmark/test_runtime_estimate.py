import pandas as pd
import pytest
from factories import write_metrics_file

from entr.benchmark import inference, runtime_estimate
from entr.benchmark.unit_times import UnitTimes
from entr.config.regimes import Regime
from entr.config.training import LearningRateFinder, Phase, Training
from entr.config.training_plan import Plan

TRAINING = Training(
    phases={"sgdr": Phase(cycle_length=2), "rpl": Phase(layers="all")}, schedule=("sgdr", "rpl"),
    subtotal_after="sgdr", full_size=40, batch_size=10, lr_finder=LearningRateFinder(steps=6), evaluation_sizes=(24,),
    tta_views=1, device="cpu",
)  # fmt: skip


def test_seconds_of_a_cell_follow_from_its_plan():
    plan = Plan.of(TRAINING, Regime(sgdr=24, rpl=32, tta=32), pretrained=True)
    units = UnitTimes(
        start=5, resize={24: 0.1, 32: 0.2, 40: 0.3},
        step={(24, "head", 10): 1, (32, "all", 10): 4}, warm_up={(24, "head", 10): 3, (32, "all", 10): 2},
        forward={24: 0.01, 32: 0.02, 40: 0.04}, training_images=95, validation_images=10,
    )  # fmt: skip
    parts = units.seconds_of(plan)
    assert parts["starting"] == 5
    assert parts["resize"] == pytest.approx(0.1 + 0.2)
    assert parts["training"] == 2 * 9 * 1 + 9 * 4
    assert parts["lr_finder"] == 6 * (1 + 4) + 3 + 2
    assert parts["validation"] == pytest.approx(10 * (2 * 0.01 + 0.02))
    stages = 10 * 0.01 + 105 * 0.04 + 10 * 0.02 + 105 * 0.04
    assert parts["evaluation"] == pytest.approx(stages + 2 * 10 * (0.02 + 0.04) + 10 * 0.01)


def test_steps_of_sizes_that_were_not_timed_are_interpolated_by_pixels():
    units = UnitTimes(
        start=0, resize={}, step={(10, "all", 4): 1, (30, "all", 2): 4, (30, "head", 2): 9}, warm_up={},
        forward={10: 1, 30: 9}, training_images=0, validation_images=0,
    )  # fmt: skip
    assert units.step_seconds((10, "all", 4)) == 1
    # per image 0.25 s at 100 pixels and 2 s at 900
    assert units.step_seconds((20, "all", 3)) == pytest.approx(3 * (0.25 + 1.75 * 300 / 800))
    assert units.forward_seconds(20) == pytest.approx(1 + 8 * 300 / 800)


def test_regimes_of_equal_time_train_as_long_as_the_control():
    units = UnitTimes(
        start=0, resize={24: 1, 32: 2}, step={(24, "all", 10): 1, (32, "all", 10): 4}, warm_up={},
        forward={24: 1, 32: 1}, training_images=100, validation_images=10,
    )  # fmt: skip
    plans = {
        name: Plan.of(TRAINING, Regime(sgdr=size, rpl=size, tta=size), pretrained=False)
        for name, size in {"small": 24, "large": 32}.items()
    }
    as_configured = runtime_estimate.seconds_by_regime(units, plans, "large", "epochs")
    assert as_configured["small"] == units.seconds_of(plans["small"])
    equal = runtime_estimate.seconds_by_regime(units, plans, "large", "time")
    # 3 epochs of 10 steps, and the resizing
    assert [parts["training"] + parts["resize"] for parts in equal.values()] == pytest.approx([120 + 2 * 2] * 2)
    assert equal["small"]["validation"] == pytest.approx(3 * 10 * (120 + 4 - 2) / 30)


def test_benchmark_takes_its_minimum_seconds_or_a_minimum_number_of_calls_per_case():
    plan = Plan.of(TRAINING, Regime(sgdr=24, rpl=40, tta=40), pretrained=True)
    units = UnitTimes(
        start=0, resize={}, step={}, warm_up={}, forward={24: 0, 40: 0.1}, training_images=0, validation_images=0
    )  # fmt: skip
    # two sizes with two batch sizes, and the trained model
    assert runtime_estimate.benchmark_seconds(units, [plan], [1, 2], 300) == pytest.approx(5 * 2 * 300, rel=0.01)
    calls = inference.ROUNDS * (inference.WARM_UP_CALLS + inference.MIN_CALLS + 1 + runtime_estimate.CALLS_FOR_BLOCKS)
    expected = calls * (0.1 + 0.2 + 0.1)
    assert runtime_estimate.benchmark_seconds(units, [plan], [1, 2], 0) == pytest.approx(expected)


def test_unfinished_cells_are_estimated_from_timed_steps(dataset, tmp_path, caplog):
    plan = Plan.of(TRAINING, Regime(sgdr=24, rpl=32, tta=32), pretrained=False)
    cells = [tmp_path / "m" / "resnet18" / "gradual" / f"seed{seed}" / "metrics.json" for seed in (0, 1)]
    files = {
        "pixels": {"m": str(dataset / "pixels.npy")},
        "manifest": {"m": str(dataset / "manifest.csv")},
        "split": {"m": str(dataset / "split.csv")},
    }

    def finish(cell):
        cell.parent.mkdir(parents=True)
        write_metrics_file(cell.parent, {"plan": plan.plain()})

    def estimate():
        with caplog.at_level("INFO", logger="entr"):
            runtime_estimate.write_estimate(
                cells, {"m": {"gradual": plan.plain()}}, **files, weights={}, batch_sizes=[1], min_seconds=0.1,
                control="gradual", match="epochs", table=tmp_path / "estimate.csv",
            )  # fmt: skip

    finish(cells[0])
    estimate()
    table = pd.read_csv(tmp_path / "estimate.csv")
    assert table["seed"].tolist() == [1]
    assert (table[["training", "evaluation", "lr_finder"]] > 0).all(axis=None)
    assert "1 of 2 cells are not finished" in caplog.text
    finish(cells[1])
    estimate()
    assert "all 2 cells are finished" in caplog.text
