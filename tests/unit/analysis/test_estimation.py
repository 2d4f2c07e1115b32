import gc
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from entr.analysis.estimation import (
    ALPHA,
    FLIPS,
    POWER,
    TARGET_RATIO,
    estimate,
    holm,
    seeds_needed,
    validation_training_ratio,
)

DIFFERENCES = [0.010, -0.020, 0.004, 0.013, -0.011, 0.021, 0.002, -0.006]


def test_eight_differences_of_one_sign_have_p_2_in_256():
    assert estimate([np.arange(1.0, 9)], 1 / 9).p == pytest.approx(2 / 256)


def test_exact_test_agrees_with_enumeration_for_datasets_of_unequal_size():
    samples = [np.array([0.3, -0.1, 0.5]), np.array([0.2, 0.4, -0.05, 0.1])]
    shares = np.concatenate([sample / len(sample) for sample in samples])
    sums = [np.dot(signs, shares) for signs in itertools.product([1, -1], repeat=7)]
    by_hand = np.mean(np.abs(sums) >= shares.sum() - 1e-12)
    assert estimate(samples, 1 / 9).p == pytest.approx(by_hand)


def test_datasets_have_equal_weight_whatever_their_number_of_seeds():
    result = estimate([np.array([1.0, 1.2]), np.array([3.0, 3.1, 2.9, 3.0])], 1 / 9)
    assert result.mean == pytest.approx((1.1 + 3.0) / 2)
    assert result.replicates == 6


def test_one_dataset_has_the_student_interval_of_scipy():
    sample = np.array(DIFFERENCES) + 0.05
    result = estimate([sample], 0.0)
    low, high = stats.t.interval(0.95, 7, sample.mean(), stats.sem(sample))
    assert (result.student.low, result.student.high) == pytest.approx((low, high))
    assert result.corrected.p == pytest.approx(stats.ttest_1samp(sample, 0).pvalue)


def test_two_datasets_have_the_degrees_of_freedom_of_welch():
    first, second = np.array(DIFFERENCES), np.array([0.05, 0.10, 0.02])
    welch = stats.ttest_ind(first, -second, equal_var=False)
    result = estimate([first, second], 0.0)
    assert result.corrected.p == pytest.approx(welch.pvalue)
    assert result.corrected.degrees_of_freedom == pytest.approx(welch.df)


def test_ten_folds_widen_the_standard_error_by_the_factor_of_nadeau_and_bengio():
    sample = np.array([*DIFFERENCES, 0.015, -0.003])
    plain, corrected = estimate([sample], 0.0), estimate([sample], validation_training_ratio(10))
    factor = np.sqrt((1 / 10 + 1 / 9) / (1 / 10))
    assert corrected.corrected.standard_error / plain.corrected.standard_error == pytest.approx(factor)
    assert corrected.corrected.low < corrected.student.low == plain.student.low


def test_equivalence_test_agrees_with_statsmodels():
    differences = np.array(DIFFERENCES)
    result = estimate([differences], 0.0)
    expected, lower, upper = ttost_paired(differences, np.zeros(8), -0.01, 0.01)
    assert result.p_within(0.01) == pytest.approx(expected)
    assert result.p_above(-0.01) == pytest.approx(lower[1])
    assert max(lower[1], upper[1]) == expected


def test_holm_adjustment_is_as_computed_by_hand():
    # in ascending order: 4 times 0.01, 3 times 0.02, the maximum of that and 2 times 0.03, once 0.9
    assert holm([0.02, 0.01, 0.9, 0.03]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.6, 0.8]) == pytest.approx([1, 1])


@settings(max_examples=15)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_adjustment_agrees_with_statsmodels(p):
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_adjustment_leaves_no_object_out_of_garbage_collection():
    holm([0.5, 0.5])
    assert gc.get_freeze_count() == 0


def test_equal_differences_have_no_interval():
    result = estimate([np.full(8, 0.1) + 0.2], 1 / 9)
    assert result.constant
    assert np.isnan(result.student.low)
    assert np.isnan(result.p_within(0.5))
    assert result.p_decisive() == pytest.approx(2 / 256)
    assert estimate([np.zeros(8)], 1 / 9).p_decisive() == 1


def test_seeds_needed_reach_the_requested_power():
    seeds = seeds_needed(0.05, 1)
    effect_size = np.log(TARGET_RATIO) / 0.05
    power = TTestPower()
    assert power.power(effect_size, seeds, ALPHA) >= POWER
    assert power.power(effect_size, seeds - 1, ALPHA) < POWER
    assert seeds_needed(1e-4, 1) == 6
    assert seeds_needed(1e-4, 3) == 2


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.floats(0.1, 10))
def test_p_value_does_not_depend_on_the_unit(values, factor):
    sample = np.array(values)
    first, second = estimate([sample], 1 / 9), estimate([-factor * sample], 1 / 9)
    assert first.p == pytest.approx(second.p, abs=2**-8)
    assert -factor * first.mean == pytest.approx(second.mean)


def test_estimate_without_pairs_is_an_error():
    with pytest.raises(ValueError, match="at least one pair"):
        estimate([], 1 / 9)


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.6])
def test_sampled_sign_flips_agree_with_all_sign_flips(shift):
    values = np.random.default_rng(1).normal(shift, 1, 15)
    exact = estimate([values], 0).p
    sampled = estimate([values], 0, flips=2**14).p
    # four standard errors of a proportion of 16384 draws
    assert sampled == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 2**14) + 1e-4)


def test_p_value_of_sampled_sign_flips_is_never_zero():
    assert estimate([np.linspace(1, 2, 40)], 0).p == 1 / (FLIPS + 1)
