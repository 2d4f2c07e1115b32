from dataclasses import replace

import pytest
from factories import REGIMES, STUDY_SECONDS, study

from entr.analysis.claims import evaluate_claims
from entr.analysis.entr_hypothesis import evaluate_hypothesis, hypothesis_verdict
from entr.analysis.study import NOT_SUPPORTED, NOT_TESTED, SUPPORTED


def verdict(given):
    return hypothesis_verdict(evaluate_hypothesis(given))


def test_entr_is_supported_if_time_falls_accuracy_holds_and_no_rival_is_as_good():
    assert verdict(study()) == SUPPORTED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"time": {"gradual": 101.0, "stepwise": 102.0}}, "not shown that T falls"),
        ({"accuracy": {"gradual": 0.785, "stepwise": 0.785}}, "A fell: -1.5 points ["),
        ({"accuracy": {"matched": 0.81}}, "not shown that A is above that of matched"),
        ({"accuracy": {"small": 0.82}}, "not shown that A is above that of small"),
    ],
)
def test_entr_is_not_supported_if_one_of_its_parts_fails(changes, reason):
    claim = evaluate_hypothesis(study(**changes))[0]
    assert claim.verdict == NOT_SUPPORTED
    assert reason in claim.reason


def test_equal_accuracy_in_every_seed_counts_as_not_worse():
    given = study(regimes=[name for name in REGIMES if name != "stepwise"])
    table = given.metrics.copy()
    table.loc[(table["metric"] == "accuracy") & table["regime"].isin(["no-increase", "gradual"]), "value"] = 0.81
    assert verdict(replace(given, metrics=table)) == SUPPORTED


def test_rival_that_is_as_accurate_but_costs_more_does_not_refute_entr():
    assert verdict(study(accuracy={"matched": 0.81}, time={"matched": 95.0})) == SUPPORTED


def test_rival_that_costs_three_percent_more_counts_as_equally_expensive():
    slower = {"matched": 1.03 * STUDY_SECONDS["stepwise"], "gradual": STUDY_SECONDS["stepwise"]}
    assert verdict(study(accuracy={"matched": 0.81}, time=slower)) == NOT_SUPPORTED


def test_entr_is_not_tested_without_rivals_and_the_reason_names_them():
    claim = evaluate_hypothesis(study(regimes=REGIMES[:3]))[0]
    assert claim.verdict == NOT_TESTED
    assert "lacks the rivals matched, small or medium" in claim.reason


def test_entr_is_not_supported_without_rivals_if_time_does_not_fall():
    given = study(regimes=REGIMES[:3], time={"gradual": 101.0, "stepwise": 101.0})
    assert verdict(given) == NOT_SUPPORTED


def test_one_of_two_treatments_is_sufficient():
    claims = evaluate_hypothesis(study(time={"stepwise": 101.0}))
    assert [(claim.regime, claim.verdict) for claim in claims] == [("gradual", SUPPORTED), ("stepwise", NOT_SUPPORTED)]
    assert hypothesis_verdict(claims) == SUPPORTED


def test_latency_of_the_trained_model_cannot_support_entr():
    assert verdict(study(time_basis="latency")) == NOT_SUPPORTED


@pytest.mark.parametrize(("seeds", "reason"), [(1, "one replicate"), (5, "5 replicates cannot reach p < 0.05")])
def test_no_claim_is_tested_with_few_replicates(seeds, reason):
    claims = evaluate_claims(study(seeds=seeds))
    assert {claim.verdict for claim in claims} == {NOT_TESTED}
    assert reason in claims[0].reason


def test_two_seeds_of_three_datasets_are_enough_replicates():
    given = study(datasets=("steel", "ucm", "bees"), seeds=2, models=("resnet18",))
    claim = evaluate_hypothesis(given)[0]
    assert claim.replicates == 6
    assert claim.verdict != NOT_TESTED
