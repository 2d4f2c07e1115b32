import pytest

from entr.regimes import Phase, Plan, Training

GRADUAL = {"sgdr": 100, "clrs": 150, "cmult": 200, "rpl": 250, "tta": 250}


def test_the_default_phases_are_those_of_the_course():
    lengths = {name: phase.lengths for name, phase in Training().phases.items()}
    assert lengths == {"sgdr": (2,), "clrs": (1, 1, 1), "cmult": (1, 2, 4), "rpl": (1, 2, 4)}


def test_a_plan_gives_each_phase_its_size_layers_and_rates():
    plan = Plan.of(Training(), GRADUAL, pretrained=True)
    assert [(step.phase, step.size, step.layers) for step in plan.steps] == [
        ("sgdr", 100, "head"),
        ("clrs", 150, "head"),
        ("cmult", 200, "head"),
        ("rpl", 250, "all"),
    ]
    assert plan.steps[-1].learning_rates == pytest.approx((0.01 / 9, 0.01 / 3, 0.01))
    assert (plan.tta_size, plan.epochs) == (250, 2 + 3 + 7 + 7)


def test_without_pretrained_weights_every_phase_trains_all_layers():
    plan = Plan.of(Training(), GRADUAL, pretrained=False)
    assert {step.layers for step in plan.steps} == {"all"}


def test_a_plan_survives_its_way_through_a_rule_s_parameters():
    plan = Plan.of(Training(), GRADUAL, pretrained=True)
    assert Plan.model_validate(plan.plain()) == plan


def test_phases_run_in_the_order_of_the_schedule_however_their_mapping_is_ordered():
    """Snakemake lays files over each other in an order of its own, which mixes the keys of mappings."""
    phases = dict(reversed(Training().phases.items()))
    plan = Plan.of(Training(phases=phases), GRADUAL, pretrained=True)
    assert [step.phase for step in plan.steps] == ["sgdr", "clrs", "cmult", "rpl"]


def test_a_phase_can_be_left_out():
    plan = Plan.of(Training(schedule=("sgdr", "rpl")), GRADUAL, pretrained=True)
    assert [step.phase for step in plan.steps] == ["sgdr", "rpl"]


def test_cycles_grow_by_their_factor():
    assert Phase(cycles=4, cycle_length=2, cycle_mult=3).lengths == (2, 6, 18, 54)
