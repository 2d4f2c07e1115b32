import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entr.analysis.aggregation import select_rows
from entr.analysis.time_to_accuracy import effects_on_time, times_to_accuracy, write_times_to_accuracy
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import CELL

CONTROL = "no-increase"
CURVES = {CONTROL: [0.5, 0.8, 0.79, 0.8], "gradual": [0.6, 0.785, 0.7, 0.9], "small": [0.6, 0.7, 0.7, 0.75]}
SECONDS = {CONTROL: 10.0, "gradual": 5.0, "small": 2.0}


def tables(curves=CURVES, seeds=1, resize=0.0, models=("resnet18",), datasets=("ucm",)):
    """Return histories and cells: the accuracy after each epoch, and the same seconds for all epochs of a regime."""
    history, cells = [], []
    for dataset in datasets:
        for model in models:
            for regime, accuracies in curves.items():
                for seed in range(seeds):
                    cell = {"dataset": dataset, "model": model, "regime": regime, "seed": seed}
                    cells.append(cell | {"seconds_resize": resize})
                    # the last seeds are slower
                    seconds = SECONDS[regime] * (1 + 0.1 * seed * (regime == "gradual"))
                    history += [
                        cell | {"epoch": epoch, "accuracy": accuracy, "training_seconds": seconds}
                        for epoch, accuracy in enumerate(accuracies, 1)
                    ]
    return pd.DataFrame(history), pd.DataFrame(cells)


def times(*, share=0.98, **changes):
    return times_to_accuracy(*tables(**changes), CONTROL, share).set_index(["regime", "seed"])


def effects(history, cells):
    return effects_on_time(times_to_accuracy(history, cells, CONTROL), CONTROL, 1 / 9)


def test_first_epoch_that_reaches_98_percent_of_the_final_accuracy_counts():
    found = times()
    # 0.98 · 0.8 = 0.784, which `gradual` reaches in its second epoch and loses again
    assert found["target_accuracy"].tolist() == pytest.approx([0.784] * 3)
    assert found.loc[("gradual", 0), ["epoch", "seconds", "seconds_of_control", "time_ratio"]].tolist() == [
        *(2, 10, 20),
        pytest.approx(0.5),
    ]
    assert found["best_accuracy"].tolist() == [0.8, 0.9, 0.75]
    assert found["trained_seconds"].tolist() == [40, 20, 8]


def test_cell_that_never_reaches_the_target_is_censored():
    small = times().loc[("small", 0)]
    assert not small["reached"]
    assert small[["epoch", "seconds", "time_ratio", "log_time_ratio"]].isna().all()


def test_time_includes_the_resizing():
    assert times(resize=3.0).loc[("gradual", 0), ["seconds", "trained_seconds"]].tolist() == [13, 23]


def test_accuracy_equal_to_the_target_reaches_it_in_single_precision():
    control = [0.25, 0.5]
    curve = [float(np.float32(0.98) * np.float32(0.5)), 0.4]
    assert times(curves={CONTROL: control, "gradual": curve}).loc[("gradual", 0), "epoch"] == 1


def test_target_is_that_of_the_same_seed():
    history, cells = tables(seeds=2)
    easy = (history["seed"] == 1) & (history["regime"] == CONTROL)
    history.loc[easy, "accuracy"] += 0.1
    found = times_to_accuracy(history, cells, CONTROL).set_index(["regime", "seed"])
    assert found["target_accuracy"]["gradual"].tolist() == pytest.approx([0.784, 0.882])
    assert found["epoch"]["gradual"].tolist() == [2, 4]


def test_cell_without_control_and_unfinished_cell_are_left_out():
    history, cells = tables(seeds=3)
    missing = (history["regime"] == CONTROL) & (history["seed"] == 1)
    running = (cells["regime"] == "gradual") & (cells["seed"] == 2)
    found = times_to_accuracy(history[~missing], cells[~running], CONTROL)
    assert set(found[found["regime"] == "gradual"]["seed"]) == {0}
    assert set(found[found["regime"] == CONTROL]["seed"]) == {0, 2}


def test_mean_ratio_is_geometric_over_seeds_with_student_intervals():
    row = select_rows(effects(*tables(seeds=4)), scope="all", regime="gradual").iloc[0]
    logarithms = np.log(0.5 * np.array([1, 1.1, 1.2, 1.3]))
    error = logarithms.std(ddof=1)
    assert row["time_ratio"] == pytest.approx(np.exp(logarithms.mean()))
    assert row["low"] == pytest.approx(np.exp(logarithms.mean() - 3.18245 * error / 2))
    assert row["high_corrected"] == pytest.approx(np.exp(logarithms.mean() + 3.18245 * error * np.sqrt(1 / 4 + 1 / 9)))
    assert row[["cells", "reached_cells", "reached_share", "replicates", "note"]].tolist() == [4, 4, 1, 4, ""]


def test_censored_cells_are_counted_and_left_out_of_the_ratio():
    history, cells = tables(seeds=4)
    history.loc[(history["regime"] == "gradual") & (history["seed"] > 1), "accuracy"] = 0.1
    row = select_rows(effects(history, cells), scope="block", regime="gradual").iloc[0]
    assert row[["cells", "reached_cells", "reached_share", "replicates"]].tolist() == [4, 2, 0.5, 2]
    assert row["time_ratio"] == pytest.approx(0.5 * np.sqrt(1.1))
    assert "leaves out cells that do not reach the target" in row["note"]


def test_regime_that_never_reaches_the_target_has_no_ratio():
    row = select_rows(effects(*tables(seeds=2)), scope="all", regime="small").iloc[0]
    assert row[["reached_cells", "reached_share", "replicates"]].tolist() == [0, 0, 0]
    assert row[["time_ratio", "low", "high"]].isna().all()
    assert row["note"] == "no cell reaches the target"


def test_mean_over_datasets_needs_a_replicate_of_each():
    history, cells = tables(seeds=2, datasets=("ucm", "neu"))
    history.loc[(history["dataset"] == "neu") & (history["regime"] == "gradual"), "accuracy"] = 0.1
    found = effects(history, cells)
    row = select_rows(found, scope="all", regime="gradual").iloc[0]
    assert row[["cells", "reached_cells", "replicates"]].tolist() == [4, 2, 0]
    assert row[["time_ratio", "low", "high"]].isna().all()
    assert row["note"] == "no ratio: there is a dataset in which no replicate reaches the target"
    assert select_rows(found, scope="dataset", dataset="ucm", regime="gradual").iloc[0]["replicates"] == 2


def test_seed_of_which_a_model_is_censored_is_excluded_from_the_mean_over_models():
    history, cells = tables(seeds=3, models=("resnet18", "resnet50"))
    censored = (history[["model", "regime", "seed"]] == ["resnet50", "gradual", 1]).all(axis=1)
    history.loc[censored, "accuracy"] = 0.1
    found = effects(history, cells)
    row = select_rows(found, scope="dataset", regime="gradual").iloc[0]
    assert row[["cells", "reached_cells", "replicates"]].tolist() == [6, 5, 2]
    assert select_rows(found, scope="block", model="resnet18", regime="gradual").iloc[0]["replicates"] == 3


def test_one_seed_has_a_ratio_without_interval():
    row = select_rows(effects(*tables()), scope="all", regime="gradual").iloc[0]
    assert row["time_ratio"] == pytest.approx(0.5)
    assert row[["low", "high", "low_corrected", "high_corrected"]].isna().all()
    assert row["note"] == "one replicate: no interval"


@pytest.mark.parametrize("condition", [f"regime == '{CONTROL}'", f"regime != '{CONTROL}'"])
def test_grid_without_pairs_has_tables_without_effects(condition, tmp_path):
    for name, table in zip(("history", "cells"), tables(), strict=True):
        write_table(table.query(condition), tmp_path / f"{name}.csv")
    outputs = {name: tmp_path / f"{name}.csv" for name in ("times", "effects")}
    write_times_to_accuracy(tmp_path / "history.csv", tmp_path / "cells.csv", CONTROL, 10, **outputs)
    assert len(read_table(outputs["times"])) == ("==" in condition)
    assert list(read_table(outputs["times"]).columns[:4]) == CELL
    assert not len(read_table(outputs["effects"]))


ACCURACIES = st.lists(st.integers(0, 100).map(lambda percent: percent / 100), min_size=4, max_size=4)


@given(ACCURACIES, ACCURACIES, st.floats(0.5, 1), st.floats(0.5, 1))
def test_higher_target_is_never_reached_earlier(control, treatment, one, other):
    curves = {CONTROL: control, "gradual": treatment}
    low, high = (times(curves=curves, share=share)["seconds"].fillna(np.inf) for share in sorted((one, other)))
    assert (low <= high).all()


@given(ACCURACIES, ACCURACIES)
def test_control_always_reaches_its_target_and_no_time_exceeds_the_whole_training(control, treatment):
    found = times(curves={CONTROL: control, "gradual": treatment})
    assert found["reached"][CONTROL].all()
    assert (found["time_ratio"][CONTROL] == 1).all()
    reached = found[found["reached"]]
    assert (reached["seconds"] <= reached["trained_seconds"]).all()
    assert (found["reached"] == (found["best_accuracy"] >= found["target_accuracy"] - 1e-6)).all()
