import itertools

import numpy as np
import pandas as pd
import pytest

from entr.analysis.aggregation import select_rows
from entr.analysis.paired_effects import effects_table, pair_with_control, write_effects
from entr.jobs.tables import write_table

CONTROL = "no-increase"
SPREAD = [0.010, -0.020, 0.004, 0.013, -0.011, 0.021, 0.002, -0.006]


def metrics(accuracies, times, *, datasets=("ucm",), models=("resnet18",)):
    """Return a table of metrics with the values of each regime by seed, the same for every model."""
    rows = []
    for dataset, model, regime in itertools.product(datasets, models, accuracies):
        for seed, (accuracy, time) in enumerate(zip(accuracies[regime], times[regime], strict=True)):
            cell = {"dataset": dataset, "model": model, "regime": regime, "seed": seed}
            key = cell | {"stage": "total", "resolution": "phase"}
            rows.append(key | {"metric": "accuracy", "time_basis": "", "value": accuracy})
            rows.append(key | {"metric": "time", "time_basis": "training", "value": time})
            rows.append(key | {"metric": "efficiency", "time_basis": "training", "value": np.sqrt(accuracy / time)})
    return pd.DataFrame(rows)


def effects_of(table):
    return effects_table(pair_with_control(table, CONTROL), 1 / 9)


def effect(effects, metric, **keys):
    rows = select_rows(effects, metric=metric, **keys)
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.fixture
def table():
    control = [0.80 + difference for difference in SPREAD]
    gradual = [0.81, 0.79, 0.80, 0.82, 0.78, 0.83, 0.81, 0.80]
    times = {CONTROL: [100.0 + seed for seed in range(8)], "gradual": [70.0 - seed for seed in range(8)]}
    return metrics({CONTROL: control, "gradual": gradual}, times)


def test_pair_contains_both_cells_and_their_ratios(table):
    pairs = pair_with_control(table, CONTROL)
    assert len(pairs) == 8
    first = pairs.iloc[0]
    assert first["accuracy_difference"] == pytest.approx(0.81 - 0.81)
    assert first["time_ratio"] == pytest.approx(0.70)
    assert first["log_efficiency_ratio"] == pytest.approx((np.log(0.81 / 0.81) - np.log(0.70)) / 2)
    assert {"accuracy", "time"} <= set(pairs)


def test_cell_without_control_is_not_paired(table):
    without_control = (table["regime"] == CONTROL) & (table["seed"] == 3)
    pairs = pair_with_control(table[~without_control], CONTROL)
    assert 3 not in set(pairs["seed"])
    assert len(pairs) == 7


def test_zero_accuracy_everywhere_still_allows_effects_on_time_and_accuracy():
    zero = metrics({CONTROL: [0.0], "gradual": [0.0]}, {CONTROL: [100.0], "gradual": [70.0]})
    effects = effects_of(zero)
    assert set(effects["metric"]) == {"accuracy_difference", "log_time_ratio"}
    assert set(effects["scope"]) == {"all", "dataset", "block"}
    assert effect(effects, "log_time_ratio", scope="block")["mean"] == pytest.approx(np.log(0.7))
    assert effects["efficiency_ratio"].isna().all()


def test_zero_accuracy_of_one_seed_is_excluded_from_the_efficiency_alone(table):
    table.loc[(table["seed"] == 0) & (table["metric"].isin(["accuracy", "efficiency"])), "value"] = 0.0
    effects = effects_of(table)
    assert effect(effects, "log_efficiency_ratio", scope="all")["replicates"] == 7
    assert effect(effects, "accuracy_difference", scope="all")["replicates"] == 8


def test_models_of_a_seed_are_one_replicate():
    accuracies = {CONTROL: [0.8] * 6, "gradual": [0.82, 0.83, 0.81, 0.84, 0.82, 0.85]}
    times = {CONTROL: [100.0] * 6, "gradual": [80.0, 81, 82, 83, 84, 85]}
    effects = effects_of(metrics(accuracies, times, models=("resnet18", "resnet34", "resnet50")))
    pooled = effect(effects, "accuracy_difference", scope="all")
    assert pooled["replicates"] == 6
    assert pooled["p"] == pytest.approx(2 / 64)


def test_holm_family_contains_all_regimes_and_stages():
    three = {CONTROL: [0.8] * 8, "gradual": [0.8 + difference for difference in SPREAD]}
    three["stepwise"] = [0.81] * 7 + [0.815]
    times = {name: [100.0 + seed for seed in range(8)] for name in three}
    stepwise = effect(effects_of(metrics(three, times)), "accuracy_difference", scope="all", regime="stepwise")
    assert stepwise["family"].endswith("(2)")
    assert stepwise["p_holm"] == pytest.approx(2 * 2 / 256)


@pytest.mark.parametrize(
    ("seeds", "note", "has_interval"),
    [
        (1, "one replicate: no interval, no p-value", False),
        (5, "5 replicates cannot reach p < 0.05 (smallest possible: 0.062)", True),
        (6, "", True),
    ],
)
def test_note_states_the_limitations_of_the_sample_size(table, seeds, note, has_interval):
    row = effect(effects_of(table[table["seed"] < seeds]), "log_efficiency_ratio", scope="block")
    assert row["note"] == note
    assert np.isfinite(row["low"]) == has_interval
    assert np.isfinite(row["p"]) == has_interval


def test_seed_that_lacks_a_model_is_excluded_from_the_mean_over_models(table):
    other = table.assign(model="resnet50")
    effects = effects_of(pd.concat([table, other[other["seed"] != 2]]))
    pooled = effect(effects, "log_time_ratio", scope="dataset")
    assert pooled["replicates"] == 7
    assert "1 seed excluded, because it lacks a model" in pooled["note"]
    assert effect(effects, "log_time_ratio", scope="block", model="resnet18")["replicates"] == 8


def test_every_effect_has_the_means_of_accuracy_time_and_efficiency(table):
    effects = effects_of(table)
    assert effects[["accuracy_difference", "time_ratio", "efficiency_ratio"]].notna().all(axis=None)


def test_grid_without_treatments_has_no_effects(table):
    assert effects_of(table[table["regime"] == CONTROL]).empty


def test_effects_are_reproducible(table, tmp_path):
    write_table(table, tmp_path / "metrics.csv")
    for name in ("first", "second"):
        outputs = {"pairs": tmp_path / f"{name}-pairs.csv", "effects": tmp_path / f"{name}.csv"}
        write_effects(tmp_path / "metrics.csv", CONTROL, 10, **outputs)
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
