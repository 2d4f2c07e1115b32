import pandas as pd
import pytest

from entr.analysis.aggregation import summarise
from entr.analysis.recommendation import choose_models
from entr.config.study_design import StudyDesign

DESIGN = StudyDesign(
    datasets={"birds": "Birds"},
    stand_in_for={},
    models=("small", "large"),
    regimes=("no-increase", "gradual"),
    seeds=(0, 1, 2, 3),
    control="no-increase",
    time_basis="training",
    folds=10,
)
NO_LIMITS = {"max_seconds": None, "min_accuracy": None}
ACCURACY = {
    ("small", "gradual"): [0.80, 0.82, 0.81, 0.79],
    ("small", "no-increase"): [0.81, 0.80, 0.82, 0.80],
    ("large", "gradual"): [0.90, 0.91, 0.92, 0.90],
}
SECONDS = {("small", "gradual"): 50.0, ("small", "no-increase"): 100.0, ("large", "gradual"): 400.0}


def tables(accuracy=ACCURACY, seeds=4):
    """Return the tables of metrics and their summary."""
    rows = []
    for (model, regime), values in accuracy.items():
        for seed, value in enumerate(values[:seeds]):
            seconds = SECONDS[model, regime] * (1 + 0.01 * seed)
            cell = {"dataset": "birds", "model": model, "regime": regime, "seed": seed}
            key = cell | {"stage": "total-tta", "resolution": "phase", "size": 60, "unit": ""}
            efficiency = (value / seconds) ** 0.5
            rows.append(key | {"metric": "accuracy", "time_basis": "", "value": value})
            rows.append(key | {"metric": "time", "time_basis": "training", "value": seconds})
            rows.append(key | {"metric": "efficiency", "time_basis": "training", "value": efficiency})
    metrics = pd.DataFrame(rows)
    return metrics, summarise(metrics)


def choices(limits=NO_LIMITS, **changes):
    found = choose_models(*tables(**changes), "birds", DESIGN, {**NO_LIMITS, **limits})
    return {choice.goal: choice for choice in found}


def test_most_accurate_and_most_efficient_model_are_chosen_with_intervals():
    found = choices()
    assert set(found) == {"accurate", "efficient"}
    assert (found["accurate"].model, found["accurate"].regime) == ("large", "gradual")
    assert (found["efficient"].model, found["efficient"].regime) == ("small", "gradual")
    assert found["accurate"].accuracy.mean == pytest.approx(0.9075)
    assert found["accurate"].accuracy.low < 0.9075 < found["accurate"].accuracy.high
    assert found["accurate"].recommended
    assert not found["efficient"].recommended


def test_of_two_equally_accurate_models_the_cheaper_is_chosen():
    equal = {("large", "gradual"): [0.8] * 3, ("small", "gradual"): [0.8] * 3}
    assert choices(accuracy=equal, seeds=3)["accurate"].model == "small"


def test_replicate_of_median_accuracy_is_chosen():
    assert choices()["accurate"].seed == 3
    assert choices(seeds=3)["accurate"].seed == 1


def test_limits_change_the_recommendation():
    found = choices({"max_seconds": 120.0})
    assert found["within_limits"].regime == "no-increase"
    assert found["within_limits"].recommended
    assert not found["accurate"].recommended
    assert choices({"min_accuracy": 0.85})["within_limits"].model == "large"


def test_limits_that_no_model_meets_are_reported_with_the_nearest_models():
    found = choices({"max_seconds": 10.0})["within_limits"]
    assert found.model == ""
    assert found.comparison == (
        "no model of this grid is within your limits: the highest accuracy is 90.8 % in 406 s, "
        "the shortest time is 50.8 s"
    )
    assert not found.recommended


def test_lead_is_called_significant_only_if_enough_replicates_show_it():
    # the same means; an exact test with four replicates cannot reach p = 0.05
    assert choices()["accurate"].comparison.startswith("its lead over the runner-up, small with no-increase, may be")
    replicated = {key: 2 * values for key, values in ACCURACY.items()}
    lead = choices(accuracy=replicated, seeds=8)["accurate"].comparison
    assert lead.startswith("significantly above the runner-up, small with no-increase: +")
    close = {key: values for key, values in ACCURACY.items() if key[0] == "small"}
    comparison = choices(accuracy=close)["accurate"].comparison
    assert comparison.startswith("its lead over the runner-up, small with gradual, may be noise: +0.3 points [-")
    assert comparison.endswith("; small with gradual is cheaper, 50.8 s against 102 s")


def test_candidates_are_ranked_by_the_seeds_that_all_of_them_have():
    accuracy = ACCURACY | {("large", "gradual"): [0.90, 0.60, 0.60, 0.60], ("small", "gradual"): [0.85]}
    choice = choices(accuracy=accuracy)["accurate"]
    assert (choice.model, choice.replicates, choice.accuracy.mean) == ("large", 1, pytest.approx(0.90))


def test_two_replicates_are_too_few_for_a_comparison():
    assert choices(seeds=2)["accurate"].comparison == (
        "fewer than 3 replicates cannot distinguish it from small with gradual; add seeds"
    )


def test_single_candidate_has_no_runner_up():
    only = {("small", "gradual"): [0.8, 0.8, 0.8]}
    assert choices(accuracy=only)["accurate"].comparison == "no alternative was run"
