import pandas as pd
import pytest

from entr import estimates
from entr.estimates import Costs
from entr.regimes import Phase, Plan, RateFinder, Regime, Training

TRAINING = Training(
    phases={"sgdr": Phase(cycle_length=2), "rpl": Phase(layers="all")}, schedule=("sgdr", "rpl"),
    sub_total_after="sgdr", full_size=40, batch_size=10, rate_finder=RateFinder(steps=6), test_sizes=(24,),
    tta_views=1, device="cpu",
)  # fmt: skip


def test_the_seconds_of_a_cell_are_counted_from_its_plan():
    plan = Plan.of(TRAINING, Regime(sgdr=24, rpl=32, tta=32), pretrained=True)
    costs = Costs(
        start=5, resize={24: 0.1, 32: 0.2, 40: 0.3}, step={(24, "head"): 1, (32, "all"): 4},
        forward={24: 0.01, 32: 0.02, 40: 0.04}, training_images=95, validation_images=10,
    )  # fmt: skip
    parts = costs.seconds_of(plan)
    assert parts["starting"] == 5
    assert parts["resize"] == pytest.approx(0.1 + 0.2)
    assert parts["training"] == 2 * 9 * 1 + 9 * 4
    assert parts["rate_finder"] == 6 * (1 + 4)
    assert parts["validation"] == pytest.approx(10 * (2 * 0.01 + 0.02))
    stages = 10 * 0.01 + 105 * 0.04 + 10 * 0.02 + 105 * 0.04
    assert parts["evaluation"] == pytest.approx(stages + 2 * 10 * (0.02 + 0.04) + 10 * 0.01)


def test_what_is_missing_is_estimated_from_steps_that_were_really_timed(dataset, tmp_path, caplog):
    plan = Plan.of(TRAINING, Regime(sgdr=24, rpl=32, tta=32), pretrained=False)
    cells = [
        {"dataset": "m", "model": "resnet18", "regime": "gradual", "seed": seed, "metrics": str(tmp_path / f"{seed}")}
        for seed in (0, 1)
    ]
    (tmp_path / "0").touch()
    files = {"m": {name: str(dataset / f"{name}.{end}") for name, end in
                   (("pixels", "npy"), ("manifest", "csv"), ("split", "csv"))}}  # fmt: skip
    with caplog.at_level("INFO", logger="entr"):
        estimates.write(cells, {"m": {"gradual": plan.plain()}}, files, {}, 10.0, tmp_path / "estimate.csv")
    table = pd.read_csv(tmp_path / "estimate.csv")
    assert table["seed"].tolist() == [1]
    assert (table[["training", "evaluation", "rate_finder"]] > 0).all(axis=None)
    assert "1 of 2 cells are missing" in caplog.text
    (tmp_path / "1").touch()
    with caplog.at_level("INFO", logger="entr"):
        estimates.write(cells, {"m": {"gradual": plan.plain()}}, files, {}, 10.0, tmp_path / "estimate.csv")
    assert "all 2 cells are finished" in caplog.text
