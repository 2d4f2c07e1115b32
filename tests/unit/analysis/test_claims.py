from dataclasses import replace

import pytest
from factories import CONTROL, REGIMES, study

from entr.analysis.answer import find_answer
from entr.analysis.claims import evaluate_claims
from entr.analysis.study import NOT_SUPPORTED, NOT_TESTED, SUPPORTED
from entr.metrics.labels import CELL


def claims_named(given, name):
    return [claim for claim in evaluate_claims(given) if claim.claim == name]


def claim_named(given, name):
    return claims_named(given, name)[0]


def test_c1_needs_every_dataset_and_model():
    grid = {"datasets": ("steel", "ucm", "bees"), "regimes": REGIMES[:3], "seeds": 3}
    claim = claim_named(study(**grid), "C1")
    assert (claim.verdict, claim.result) == (SUPPORTED, "36 of 36")
    claim = claim_named(study(**grid, time={("ucm", "resnet34", "gradual"): 104.0}), "C1")
    assert (claim.verdict, claim.result) == (NOT_SUPPORTED, "34 of 36")
    assert "ucm resnet34 gradual" in claim.reason


def test_c1_on_part_of_the_papers_grid_has_a_row_for_that_part():
    claims = claims_named(study(regimes=REGIMES[:3]), "C1")
    assert [(claim.evaluated_on, claim.verdict) for claim in claims] == [
        ("steel, ucm, bees", NOT_TESTED),
        ("ucm", SUPPORTED),
    ]
    assert claims[0].result == "12 of 12"
    assert "lacks steel, bees" in claims[0].reason
    assert claims[1].stand_in_for == ""


def test_c1_names_what_stand_ins_replace_and_no_pairs_of_models_that_were_not_run():
    claims = claims_named(study(datasets=("neu",), stand_in_for={"neu": "steel"}, models=("resnet18",)), "C1")
    assert claims[0].reason == "the grid lacks steel, ucm, bees, resnet34, resnet50"
    assert claims[1].stand_in_for == "steel"


def test_c1_needs_both_treatments():
    claim = claims_named(study(regimes=REGIMES[:2]), "C1")[1]
    assert (claim.verdict, claim.result) == (NOT_TESTED, "6 of 6")
    assert claim.reason == "no pairs of stepwise and no-increase"


def test_most_efficient_cell_needs_significance_and_not_only_the_highest_mean():
    assert claim_named(study(), "C3").verdict == SUPPORTED
    equal = claim_named(study(time={"stepwise": 75.0}, accuracy={"stepwise": 0.81}), "C3")
    assert equal.verdict == NOT_SUPPORTED
    assert "resnet18 gradual over resnet18 stepwise" in equal.comparison
    assert equal.low < 1 < equal.high
    opposite = claim_named(study(time={"stepwise": 40.0}), "C3")
    assert opposite.verdict == NOT_SUPPORTED
    assert "in the opposite direction" in opposite.reason
    assert opposite.result.startswith("stepwise with resnet18: As ")
    assert "A 81" in opposite.result
    assert "T 40" in opposite.result


def test_incomplete_grid_is_not_tested_and_the_reason_names_what_it_lacks():
    claim = claim_named(study(models=("resnet18", "resnet34")), "C3")
    assert claim.verdict == NOT_TESTED
    assert claim.reason == "the grid lacks resnet50"
    assert claim.result.startswith("best so far: gradual with resnet18")


def test_c5_needs_every_model_and_c6_most_models():
    accuracy = {CONTROL: 0.83, ("resnet50", CONTROL): 0.79}
    given = study(datasets=("ucm", "steel"), accuracy=accuracy)
    assert claim_named(given, "C5").verdict == NOT_SUPPORTED
    assert claim_named(given, "C6").verdict == SUPPORTED
    assert claim_named(study(accuracy={CONTROL: 0.83}), "C5").verdict == SUPPORTED


def test_c7_is_evaluated_on_bees_and_states_the_published_accuracy():
    claim = claim_named(study(datasets=("bees",), accuracy={("resnet50", "stepwise"): 0.86}), "C7")
    assert (claim.verdict, claim.evaluated_on) == (SUPPORTED, "bees")
    assert claim.paper == ("stepwise, resnet50: 73.8 % before fine-tuning (231 of 313), 85.6 % after it (268 of 313)")


def test_stand_in_has_its_own_row():
    given = study(datasets=("neu",), stand_in_for={"neu": "steel"}, time={"stepwise": 60.0})
    assert [(claim.evaluated_on, claim.stand_in_for, claim.verdict) for claim in claims_named(given, "C2")] == [
        ("steel", "", NOT_TESTED),
        ("neu", "steel", SUPPORTED),
    ]


def test_c8_needs_small_images_to_cost_accuracy():
    assert claim_named(study(), "C8").verdict == SUPPORTED
    assert claim_named(study(accuracy={"small": 0.81}), "C8").verdict == NOT_SUPPORTED
    assert "lacks small" in claim_named(study(regimes=REGIMES[:3]), "C8").reason


@pytest.mark.parametrize(
    ("loss", "gap", "verdict"),
    [(0.2, 0.2, SUPPORTED), (0.2, 0.3, NOT_SUPPORTED), (0.3, 0.2, NOT_SUPPORTED)],
    ids=["smaller gap", "same gap", "less learned"],
)
def test_c9_counts_a_smaller_gap_only_at_equal_training_loss(loss, gap, verdict):
    treatments = ("gradual", "stepwise")
    gaps = {
        "training_negative_log_likelihood": dict.fromkeys(treatments, loss),
        "loss_gap": dict.fromkeys(treatments, gap),
    }
    assert claim_named(study(gaps=gaps), "C9").verdict == verdict


def test_c9_is_not_tested_without_training_losses():
    assert claim_named(study(), "C9").verdict == NOT_TESTED


def test_other_regimes_change_neither_the_claims_nor_the_answer():
    """They are more accurate and faster than those of the paper, so that any that was considered would be the best."""
    others = tuple(f"published-{number}" for number in range(7))
    whole = study(
        accuracy=dict.fromkeys(others, 0.95),
        time=dict.fromkeys(others, 20.0),
        gaps={"loss_gap": {}, "training_negative_log_likelihood": {}},
        datasets=("steel", "ucm", "bees"),
        regimes=(*REGIMES, *others),
        seeds=6,
    )
    metrics = whole.metrics[whole.metrics["regime"].isin(REGIMES)]
    of_paper = replace(whole, design=whole.design.model_copy(update={"regimes": REGIMES}), metrics=metrics)
    assert repr(evaluate_claims(whole)) == repr(evaluate_claims(of_paper))
    # of the same cells, because further seeds of more regimes take longer
    cells = metrics[CELL].drop_duplicates().assign(seconds_wall=1.0)
    assert repr(find_answer(whole, cells)) == repr(find_answer(of_paper, cells))
