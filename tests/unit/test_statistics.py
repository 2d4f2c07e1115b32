import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from entr import statistics

CONTROL = "no-increase"
SPREAD = [0.010, -0.020, 0.004, 0.013, -0.011, 0.021, 0.002, -0.006]


def cells(accuracies, times, *, datasets=("ucm",), models=("resnet18",)):
    """A table like that of the cells: values of each regime by seed, the same for each model."""
    rows = []
    for dataset, model, regime in itertools.product(datasets, models, accuracies):
        for seed, (accuracy, time) in enumerate(zip(accuracies[regime], times[regime], strict=True)):
            key = {"dataset": dataset, "model": model, "regime": regime, "seed": seed, "stage": "total", "at": "phase"}
            rows.append(key | {"measure": "accuracy", "basis": "", "value": accuracy})
            rows.append(key | {"measure": "time", "basis": "training", "value": time})
            rows.append(key | {"measure": "efficiency", "basis": "training", "value": np.sqrt(accuracy / time)})
    return pd.DataFrame(rows)


def effect(effects, measure, **keys):
    for key, value in ({"measure": measure} | keys).items():
        effects = effects[effects[key] == value]
    assert len(effects) == 1
    return effects.iloc[0]


@pytest.fixture
def table():
    control = [0.80 + one for one in SPREAD]
    treated = [0.81, 0.79, 0.80, 0.82, 0.78, 0.83, 0.81, 0.80]
    times = {CONTROL: [100.0 + seed for seed in range(8)], "gradual": [70.0 - seed for seed in range(8)]}
    return cells({CONTROL: control, "gradual": treated}, times)


def test_a_pair_has_both_cells_and_their_ratios(table):
    pairs = statistics.paired(table, CONTROL)
    assert len(pairs) == 8
    first = pairs.iloc[0]
    assert first["accuracy_difference"] == pytest.approx(0.81 - 0.81)
    assert first["time_ratio"] == pytest.approx(0.70)
    assert first["log_efficiency_ratio"] == pytest.approx((np.log(0.81 / 0.81) - np.log(0.70)) / 2)
    assert {"accuracy", "time"} <= set(pairs)


def test_a_cell_without_its_partner_makes_no_pair(table):
    alone = (table["regime"] == CONTROL) & (table["seed"] == 3)
    pairs = statistics.paired(table[~alone], CONTROL)
    assert 3 not in set(pairs["seed"])
    assert len(pairs) == 7


def test_where_no_network_is_ever_right_time_and_accuracy_are_still_compared():
    nothing = cells({CONTROL: [0.0], "gradual": [0.0]}, {CONTROL: [100.0], "gradual": [70.0]})
    effects = statistics.effects_of(statistics.paired(nothing, CONTROL), 1 / 9)
    assert set(effects["measure"]) == {"accuracy_difference", "log_time_ratio"}
    assert set(effects["scope"]) == {"all", "dataset", "block"}
    assert effect(effects, "log_time_ratio", scope="block")["mean"] == pytest.approx(np.log(0.7))
    assert effects["efficiency_ratio"].isna().all()


def test_a_network_that_is_never_right_has_no_logarithm_and_breaks_nothing(table):
    table.loc[(table["seed"] == 0) & (table["measure"].isin(["accuracy", "efficiency"])), "value"] = 0.0
    effects = statistics.effects_of(statistics.paired(table, CONTROL), 1 / 9)
    assert effect(effects, "log_efficiency_ratio", scope="all")["replicates"] == 7
    assert effect(effects, "accuracy_difference", scope="all")["replicates"] == 8


def test_eight_differences_of_one_sign_have_p_2_in_256():
    found = statistics.estimate([np.arange(1.0, 9)], 1 / 9)
    assert found.p == pytest.approx(2 / 256)


def test_the_exact_test_by_enumeration_pooled_over_unequal_datasets():
    samples = [np.array([0.3, -0.1, 0.5]), np.array([0.2, 0.4, -0.05, 0.1])]
    shares = np.concatenate([sample / len(sample) for sample in samples])
    sums = [np.dot(signs, shares) for signs in itertools.product([1, -1], repeat=7)]
    by_hand = np.mean(np.abs(sums) >= shares.sum() - 1e-12)
    assert statistics.estimate(samples, 1 / 9).p == pytest.approx(by_hand)


def test_models_of_a_seed_are_one_replicate():
    regimes = {CONTROL: [0.8] * 6, "gradual": [0.82, 0.83, 0.81, 0.84, 0.82, 0.85]}
    times = {CONTROL: [100.0] * 6, "gradual": [80.0, 81, 82, 83, 84, 85]}
    pairs = statistics.paired(cells(regimes, times, models=("resnet18", "resnet34", "resnet50")), CONTROL)
    pooled = effect(statistics.effects_of(pairs, 1 / 9), "accuracy_difference", scope="all")
    assert pooled["replicates"] == 6
    assert pooled["p"] == pytest.approx(2 / 64)


def test_datasets_have_equal_weight_whatever_their_seeds():
    found = statistics.estimate([np.array([1.0, 1.2]), np.array([3.0, 3.1, 2.9, 3.0])], 1 / 9)
    assert found.mean == pytest.approx((1.1 + 3.0) / 2)
    assert found.replicates == 6


def test_one_dataset_has_student_s_interval():
    sample = np.array(SPREAD) + 0.05
    found = statistics.estimate([sample], 0.0)
    low, high = stats.t.interval(0.95, 7, sample.mean(), stats.sem(sample))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p_overlap == pytest.approx(stats.ttest_1samp(sample, 0).pvalue)


def test_two_datasets_have_the_interval_of_welch():
    one, other = np.array(SPREAD), np.array([0.05, 0.10, 0.02])
    welch = stats.ttest_ind(one, -other, equal_var=False)
    found = statistics.estimate([one, other], 0.0)
    assert found.p_overlap == pytest.approx(welch.pvalue)
    assert found.freedom == pytest.approx(welch.df)


def test_ten_folds_widen_the_standard_error_by_the_factor_of_nadeau_and_bengio():
    sample = np.array([*SPREAD, 0.015, -0.003])
    plain, wide = statistics.estimate([sample], 0.0), statistics.estimate([sample], statistics.overlap_of(10))
    assert wide.error / plain.error == pytest.approx(np.sqrt((1 / 10 + 1 / 9) / (1 / 10)))
    assert wide.low_overlap < wide.low == plain.low


def test_equivalence_is_that_of_statsmodels():
    differences = np.array(SPREAD)
    found = statistics.estimate([differences], 0.0)
    expected, lower, upper = ttost_paired(differences, np.zeros(8), -0.01, 0.01)
    assert found.p_within(0.01) == pytest.approx(expected)
    assert found.p_above(-0.01) == pytest.approx(lower[1])
    assert max(lower[1], upper[1]) == expected


@settings(max_examples=15)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p):
    assert statistics.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_is_over_the_regimes_and_stages_of_a_family():
    three = {CONTROL: [0.8] * 8, "gradual": [0.8 + one for one in SPREAD], "stepwise": [0.81] * 7 + [0.815]}
    times = {name: [100.0 + seed for seed in range(8)] for name in three}
    effects = statistics.effects_of(statistics.paired(cells(three, times), CONTROL), 1 / 9)
    stepwise = effect(effects, "accuracy_difference", scope="all", regime="stepwise")
    assert stepwise["family"].endswith("(2)")
    assert stepwise["p_holm"] == pytest.approx(2 * 2 / 256)


@pytest.mark.parametrize(
    ("seeds", "note", "interval"),
    [
        (1, "one replicate: no interval, no p", False),
        (5, "5 replicates cannot reach p < 0.05; the least possible is 0.062", True),
        (6, "", True),
    ],
)
def test_the_table_says_what_the_replicates_cannot_bear(table, seeds, note, interval):
    few = table[table["seed"] < seeds]
    row = effect(statistics.effects_of(statistics.paired(few, CONTROL), 1 / 9), "log_efficiency_ratio", scope="block")
    assert row["note"] == note
    assert np.isfinite(row["low"]) == interval
    assert np.isfinite(row["p"]) == interval


def test_differences_without_spread_have_no_interval():
    row = statistics.estimate([np.full(8, 0.1) + 0.2], 1 / 9)
    assert row.constant
    assert np.isnan(row.low)
    assert np.isnan(row.p_within(0.5))
    assert row.p_shown == pytest.approx(2 / 256)
    assert statistics.estimate([np.zeros(8)], 1 / 9).p_shown == 1


def test_a_seed_that_lacks_a_model_is_left_out_of_the_mean_over_models(table):
    other = table.assign(model="resnet50")
    both = pd.concat([table, other[other["seed"] != 2]])
    effects = statistics.effects_of(statistics.paired(both, CONTROL), 1 / 9)
    pooled = effect(effects, "log_time_ratio", scope="dataset")
    assert pooled["replicates"] == 7
    assert "left out: 1 seeds that lack a model" in pooled["note"]
    assert effect(effects, "log_time_ratio", scope="block", model="resnet18")["replicates"] == 8


def test_efficiency_never_stands_without_accuracy_and_time(table):
    effects = statistics.effects_of(statistics.paired(table, CONTROL), 1 / 9)
    assert effects[["accuracy_difference", "time_ratio", "efficiency_ratio"]].notna().all(axis=None)


def test_no_pairs_make_an_empty_table(table):
    assert statistics.effects_of(statistics.paired(table[table["regime"] == CONTROL], CONTROL), 1 / 9).empty


def test_the_seeds_needed_have_the_power_that_is_asked_for():
    seeds = statistics.needed(0.05, 1)
    effect_size = np.log(statistics.TARGET_RATIO) / 0.05
    power = TTestPower()
    assert power.power(effect_size, seeds, statistics.ALPHA) >= statistics.POWER
    assert power.power(effect_size, seeds - 1, statistics.ALPHA) < statistics.POWER
    assert statistics.needed(1e-4, 1) == 6
    assert statistics.needed(1e-4, 3) == 2


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.floats(0.1, 10))
def test_a_change_of_units_changes_no_p(values, factor):
    sample = np.array(values)
    one, other = statistics.estimate([sample], 1 / 9), statistics.estimate([-factor * sample], 1 / 9)
    assert one.p == pytest.approx(other.p, abs=2**-8)
    assert -factor * one.mean == pytest.approx(other.mean)


def test_no_pairs_are_no_sample():
    with pytest.raises(ValueError, match="at least one pair"):
        statistics.estimate([], 1 / 9)


def test_the_written_tables_come_out_the_same_twice(table, tmp_path):
    table.to_csv(tmp_path / "cells.csv", index=False)
    for name in ("one", "other"):
        statistics.write(
            tmp_path / "cells.csv", CONTROL, 10, efficiency=tmp_path / f"{name}-e.csv", effects=tmp_path / name
        )
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.6])
def test_drawn_sign_flips_agree_with_all_of_them(shift):
    values = np.random.default_rng(1).normal(shift, 1, 15)
    exact = statistics.estimate([values], 0).p
    drawn = statistics.estimate([values], 0, flips=2**14).p
    # the error of a share of 16384 draws, four times over
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 2**14) + 1e-4)


def test_the_p_of_drawn_sign_flips_is_never_zero():
    assert statistics.estimate([np.linspace(1, 2, 40)], 0).p == 1 / (statistics.FLIPS + 1)
