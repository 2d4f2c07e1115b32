import numpy as np
import pandas as pd
import pytest

from entr import tables
from entr.guards import EntrError
from entr.measures import Environment, Evaluation, LayerGroup, Mechanism, Metrics, Quality, Seconds
from entr.regimes import Plan, Regime, Training

INFERENCE = [
    pd.DataFrame({"model": "resnet18", "size": 100, "batch_size": [1, 64], "seconds_an_image": [0.010, 0.001]}),
    pd.DataFrame({"model": "resnet18", "size": 250, "batch_size": [64, 1], "seconds_an_image": [0.004, 0.020]}),
]
FINISHED = pd.DataFrame(
    {"dataset": "ucm", "model": "resnet18", "regime": ["no-increase", "gradual"], "p50_seconds": [0.021, 0.020]}
)
COSTS = tables.Costs.of(INFERENCE, [FINISHED])
PLAN = Plan.of(Training(), Regime(**dict.fromkeys(("sgdr", "clrs", "cmult", "rpl", "tta"), 250)), pretrained=False)
TIMES = {"no-increase": (100.0, 200.0), "gradual": (50.0, 150.0)}
ACCURACIES = {"no-increase": 0.81, "gradual": 0.72}
KNOWN = Quality(
    correct=9, count=10, accuracy=0.9, macro_f1=0.9, negative_log_likelihood=0.25, calibration_error=0
)  # fmt: skip
GROUP = LayerGroup(distance=0.5, norm=20)


def metrics(regime, seed, device="A", accuracy=None):
    accuracy = accuracy or ACCURACIES[regime]
    found = Quality(
        correct=round(100 * accuracy), count=100, accuracy=accuracy, macro_f1=accuracy,
        negative_log_likelihood=1, calibration_error=0,
    )  # fmt: skip
    early, late = TIMES[regime]
    passes = {250: 20_000} if regime == "no-increase" else {100: 8_000, 250: 12_000}
    stages = ("sub-total", "total")
    parts = dict.fromkeys(Seconds.model_fields, 0)
    return Metrics(
        dataset="ucm", model="resnet18", regime=regime, seed=seed, weights="none", precision="float32",
        plan=PLAN, epochs=3, classes=4, resumed=0, seconds_to_first_step=5,
        training_images=90, validation_images=10, peak_memory_mb=None, seconds=Seconds(**parts),
        evaluations=[
            Evaluation(stage=stage, at=at, size=250, quality=found) for stage in stages for at in ("phase", "full")
        ],
        mechanism=[Mechanism(stage=stage, size=250, training=KNOWN, early=GROUP, late=GROUP, head=GROUP)
                   for stage in stages],
        test_sizes={100: KNOWN, 350: found},
        seconds_until={"sub-total": early, "total": late}, image_passes=dict.fromkeys(stages, passes),
        environment=Environment(
            device=device, device_type="cpu", threads=2, driver="", python="3", torch="2", torchvision="0", fastai="2"
        ),
    )  # fmt: skip


def one(table, **keys):
    for key, value in keys.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return table["value"].iloc[0]


@pytest.fixture
def cells():
    return tables.cells_of([metrics(regime, seed) for regime in TIMES for seed in (0, 1)], COSTS, "no-increase")


def test_each_row_is_a_cell_and_a_measure(cells):
    keys = ["dataset", "model", "regime", "seed", "stage", "at", "size", "measure", "basis"]
    assert not cells.duplicated(keys).any()
    assert cells["value"].notna().all()
    assert set(cells["unit"]) == {"share", "nats", "images", "s", "s^-1/2", "1"}


def test_the_three_bases_of_time_by_hand(cells):
    time = {"seed": 0, "stage": "total", "at": "phase", "measure": "time"}
    assert one(cells, regime="gradual", basis="training", **time) == 150
    assert one(cells, regime="gradual", basis="forward", **time) == pytest.approx(8_000 * 0.001 + 12_000 * 0.004)
    assert one(cells, regime="gradual", basis="latency", **time) == 0.020


def test_a_basis_that_is_not_benchmarked_yet_is_left_out():
    missing = tables.Costs.of(INFERENCE[1:], [FINISHED[FINISHED["regime"] == "gradual"]])
    assert set(tables.times(metrics("gradual", 0), "total", missing)) == {"training", "latency"}
    assert set(tables.times(metrics("no-increase", 0), "total", missing)) == {"training", "forward"}


def test_efficiency_and_its_ratio_by_hand(cells):
    of = {"seed": 1, "stage": "sub-total", "at": "phase", "basis": "training"}
    assert one(cells, regime="no-increase", measure="efficiency", **of) == pytest.approx(np.sqrt(0.81 / 100))
    ratio = one(cells, regime="gradual", measure="efficiency_ratio", **of)
    assert np.log(ratio) == pytest.approx((np.log(0.72 / 0.81) - np.log(50 / 100)) / 2)
    assert cells[(cells["measure"] == "efficiency_ratio") & (cells["regime"] == "no-increase")].empty


def test_two_seeds_have_a_mean_and_no_interval(cells):
    row = tables.summary_of(cells).query("measure == 'accuracy' and regime == 'gradual' and stage == 'total'").iloc[0]
    assert (row["n"], row["mean"], row["sd"]) == (2, pytest.approx(0.72), pytest.approx(0))
    assert np.isnan(row["low"])
    assert np.isnan(row["high"])


def test_three_seeds_have_student_s_interval():
    found = [metrics("no-increase", seed, accuracy=accuracy) for seed, accuracy in enumerate((0.6, 0.7, 0.8))]
    summary = tables.summary_of(tables.cells_of(found, COSTS, "no-increase"))
    row = summary.query("measure == 'accuracy' and stage == 'total'").iloc[0]
    # 4.303 is Student's t at 97.5 % with two degrees of freedom
    half = 4.303 * 0.1 / np.sqrt(3)
    assert (row["low"], row["high"]) == (pytest.approx(0.7 - half, abs=1e-4), pytest.approx(0.7 + half, abs=1e-4))


def test_times_of_different_devices_are_not_compared(tmp_path):
    paths = []
    for number, device in enumerate("AB"):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(metrics("gradual", number, device).model_dump_json())
    INFERENCE[0].to_csv(tmp_path / "inference.csv")
    FINISHED.to_csv(tmp_path / "finished.csv")
    results = {name: tmp_path / f"{name}.csv" for name in ("cells", "summary", "runs")}
    with pytest.raises(EntrError, match="ran on A with 2 threads and on B with 2 threads"):
        tables.write(paths, [tmp_path / "inference.csv"], [tmp_path / "finished.csv"], "no-increase", **results)
    assert not any(path.exists() for path in results.values())


def test_a_gap_is_between_training_and_validation_at_the_full_size(cells):
    own = {"regime": "gradual", "seed": 0, "stage": "total", "at": "full"}
    assert one(cells, **own, measure="training_accuracy") == 0.9
    assert one(cells, **own, measure="accuracy_gap") == pytest.approx(0.9 - 0.72)
    assert one(cells, **own, measure="loss_gap") == pytest.approx(1 - 0.25)
    assert one(cells, **own, measure="weight_distance_late") == 0.5
    assert one(cells, **own, measure="weight_norm_head") == 20


def test_the_finished_network_has_a_row_for_each_test_size(cells):
    rows = cells[(cells["at"] == "test") & (cells["regime"] == "gradual") & (cells["seed"] == 1)]
    assert dict(zip(rows["size"], rows["value"], strict=True)) == {100: 0.9, 350: 0.72}
    assert set(rows["measure"]) == {"accuracy"}
    summary = tables.summary_of(cells)
    assert len(summary[(summary["at"] == "test") & (summary["regime"] == "gradual")]) == 2
