import numpy as np
import pytest
from factories import INFERENCE, SECONDS_UNTIL, TRAINED, metrics

from entr.analysis import aggregation
from entr.jobs.errors import EntrError
from entr.jobs.tables import read_table, write_table

COSTS = aggregation.InferenceCosts.from_tables([INFERENCE], [TRAINED])


def value_of(table, **keys):
    rows = aggregation.select_rows(table, **keys)
    assert len(rows) == 1
    return rows["value"].iloc[0]


@pytest.fixture
def table():
    results = [metrics(regime, seed) for regime in SECONDS_UNTIL for seed in (0, 1)]
    return aggregation.metrics_table(results, COSTS, "no-increase")


def test_one_row_per_cell_and_metric(table):
    keys = ["dataset", "model", "regime", "seed", "stage", "resolution", "size", "metric", "time_basis"]
    assert not table.duplicated(keys).any()
    assert table["value"].notna().all()
    assert set(table["unit"]) == {"fraction", "nats", "images", "s", "s^-1/2", "1"}


def test_time_on_each_basis_is_as_computed_by_hand(table):
    time = {"seed": 0, "stage": "total", "resolution": "phase", "metric": "time"}
    assert value_of(table, regime="gradual", time_basis="training", **time) == 150
    forward = 8_000 * 0.001 + 12_000 * 0.004
    assert value_of(table, regime="gradual", time_basis="forward", **time) == pytest.approx(forward)
    assert value_of(table, regime="gradual", time_basis="latency", **time) == 0.020


def test_time_basis_without_a_benchmark_is_left_out():
    costs = aggregation.InferenceCosts.from_tables(
        [INFERENCE[INFERENCE["size"] == 250]], [TRAINED[TRAINED["regime"] == "gradual"]]
    )
    assert set(aggregation.stage_times(metrics("gradual", 0), "total", costs)) == {"training", "latency"}
    assert set(aggregation.stage_times(metrics("no-increase", 0), "total", costs)) == {"training", "forward"}


def test_efficiency_and_its_ratio_are_as_computed_by_hand(table):
    keys = {"seed": 1, "stage": "sub-total", "resolution": "phase", "time_basis": "training"}
    efficiency = value_of(table, regime="no-increase", metric="efficiency", **keys)
    assert efficiency == pytest.approx(np.sqrt(0.81 / 100))
    ratio = value_of(table, regime="gradual", metric="efficiency_ratio", **keys)
    assert np.log(ratio) == pytest.approx((np.log(0.72 / 0.81) - np.log(50 / 100)) / 2)
    assert aggregation.select_rows(table, metric="efficiency_ratio", regime="no-increase").empty


def test_two_seeds_have_a_mean_but_no_interval(table):
    summary = aggregation.summarise(table)
    row = summary.query("metric == 'accuracy' and regime == 'gradual' and stage == 'total'").iloc[0]
    assert (row["n"], row["mean"], row["sd"]) == (2, pytest.approx(0.72), pytest.approx(0))
    assert np.isnan(row["low"])
    assert np.isnan(row["high"])


def test_three_seeds_have_a_student_interval():
    results = [metrics("no-increase", seed, accuracy=accuracy) for seed, accuracy in enumerate((0.6, 0.7, 0.8))]
    summary = aggregation.summarise(aggregation.metrics_table(results, COSTS, "no-increase"))
    row = summary.query("metric == 'accuracy' and stage == 'total'").iloc[0]
    # 4.303 is Student's t at 97.5 % with two degrees of freedom
    half = 4.303 * 0.1 / np.sqrt(3)
    assert (row["low"], row["high"]) == (pytest.approx(0.7 - half, abs=1e-4), pytest.approx(0.7 + half, abs=1e-4))


def write_tables_of(cells, tmp_path):
    """Write the tables of cells, and return their paths."""
    paths = []
    for number, cell in enumerate(cells):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(cell.to_json())
    write_table(INFERENCE, tmp_path / "inference.csv")
    write_table(TRAINED, tmp_path / "trained.csv")
    outputs = {name: tmp_path / f"{name}.csv" for name in ("metrics", "summary", "cells")}
    benchmarks = {"inference": [tmp_path / "inference.csv"], "trained": [tmp_path / "trained.csv"]}
    aggregation.write_metrics(paths, **benchmarks, control="no-increase", outputs=outputs)
    return outputs


def test_cells_of_a_seed_on_different_devices_are_an_error(tmp_path):
    cells = metrics("no-increase", 0, "A"), metrics("gradual", 0, "B")
    with pytest.raises(EntrError, match="seed 0 ran on A with 2 threads and on B with 2 threads"):
        write_tables_of(cells, tmp_path)
    assert not (tmp_path / "metrics.csv").exists()


def test_sizes_whose_images_stayed_in_host_memory_are_in_the_table_of_cells(tmp_path):
    control, treatment = metrics("no-increase", 0), metrics("gradual", 0)
    treatment = treatment.model_copy(update={"sizes_in_host_memory": (200, 250)})
    cells = read_table(write_tables_of([control, treatment], tmp_path)["cells"])
    assert cells.set_index("regime")["sizes_in_host_memory"].to_dict() == {"no-increase": "", "gradual": "200 250"}


def test_seeds_may_have_run_on_different_devices(tmp_path, caplog):
    cells = [metrics(regime, seed, device) for seed, device in enumerate("AB") for regime in ("no-increase", "gradual")]
    outputs = write_tables_of(cells, tmp_path)
    assert len(read_table(outputs["cells"])) == 4
    assert "seeds of ucm resnet18 ran on A with 2 threads and on B with 2 threads: compare times within" in caplog.text


def test_generalisation_gap_is_between_training_and_validation_at_full_size(table):
    keys = {"regime": "gradual", "seed": 0, "stage": "total", "resolution": "full"}
    assert value_of(table, **keys, metric="training_accuracy") == 0.9
    assert value_of(table, **keys, metric="accuracy_gap") == pytest.approx(0.9 - 0.72)
    assert value_of(table, **keys, metric="loss_gap") == pytest.approx(1 - 0.25)
    assert value_of(table, **keys, metric="weight_distance_late") == 0.5
    assert value_of(table, **keys, metric="weight_norm_head") == 20


def test_trained_model_has_one_row_per_evaluation_size(table):
    rows = aggregation.select_rows(table, resolution="other", regime="gradual", seed=1)
    assert dict(zip(rows["size"], rows["value"], strict=True)) == {100: 0.9, 350: 0.72}
    assert set(rows["metric"]) == {"accuracy"}
    summary = aggregation.summarise(table)
    assert len(aggregation.select_rows(summary, resolution="other", regime="gradual")) == 2
