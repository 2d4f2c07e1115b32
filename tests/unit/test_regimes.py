import pytest

from entr.regimes import Phase, Plan, Regime, Training

GRADUAL = {"sgdr": 100, "clrs": 150, "cmult": 200, "rpl": 250, "tta": 250}


def test_the_default_phases_are_those_of_the_course():
    lengths = {name: phase.lengths for name, phase in Training().phases.items()}
    assert lengths == {"sgdr": (2,), "clrs": (1, 1, 1), "cmult": (1, 2, 4), "rpl": (1, 2, 4)}


def test_a_plan_gives_each_phase_its_size_layers_and_rates():
    plan = Plan.of(Training(), Regime(**GRADUAL), pretrained=True)
    assert [(step.phase, step.size, step.layers) for step in plan.steps] == [
        ("sgdr", 100, "head"),
        ("clrs", 150, "head"),
        ("cmult", 200, "head"),
        ("rpl", 250, "all"),
    ]
    assert plan.steps[-1].rates(0.01) == pytest.approx((0.01 / 9, 0.01 / 3, 0.01))
    assert (plan.tta_size, plan.epochs) == (250, 2 + 3 + 7 + 7)


def test_without_pretrained_weights_every_phase_trains_all_layers():
    plan = Plan.of(Training(), Regime(**GRADUAL), pretrained=False)
    assert {step.layers for step in plan.steps} == {"all"}


def test_a_plan_survives_its_way_through_a_rule_s_parameters():
    plan = Plan.of(Training(), Regime(**GRADUAL), pretrained=True)
    assert Plan.model_validate(plan.plain()) == plan


def test_phases_run_in_the_order_of_the_schedule_however_their_mapping_is_ordered():
    """Snakemake lays files over each other in an order of its own, which mixes the keys of mappings."""
    phases = dict(reversed(Training().phases.items()))
    plan = Plan.of(Training(phases=phases), Regime(**GRADUAL), pretrained=True)
    assert [step.phase for step in plan.steps] == ["sgdr", "clrs", "cmult", "rpl"]


def test_a_phase_can_be_left_out():
    plan = Plan.of(Training(schedule=("sgdr", "rpl")), Regime(**GRADUAL), pretrained=True)
    assert [step.phase for step in plan.steps] == ["sgdr", "rpl"]


def test_cycles_grow_by_their_factor():
    assert Phase(cycles=4, cycle_length=2, cycle_mult=3).lengths == (2, 6, 18, 54)


def test_a_regime_may_give_each_epoch_its_size():
    """The other reading of the paper's "stepwise": the last two epochs of cmult at full size."""
    regime = Regime(**GRADUAL | {"cmult": [100] * 5 + [250] * 2})
    step = Plan.of(Training(), regime, pretrained=True).steps[2]
    assert step.sizes == (100, 100, 100, 100, 100, 250, 250)
    assert (step.size, step.shown(), step.reduced_to()) == (250, (100, 250), (100, 250))


def test_a_list_of_sizes_has_one_for_each_epoch():
    with pytest.raises(ValueError, match="phase cmult has 7 epochs, but 2 sizes"):
        Plan.of(Training(), Regime(**GRADUAL | {"cmult": [100, 250]}), pretrained=True)


def test_a_regime_may_draw_sizes_enlarge_images_or_train_all_layers():
    plan = Plan.of(Training(), Regime(**GRADUAL | {"sgdr": {"any": [150, 100]}}), pretrained=True)
    assert (plan.steps[0].drawn, plan.steps[0].size, plan.steps[0].shown()) == ((150, 100), 150, (100, 150))
    plan = Plan.of(Training(), Regime(**GRADUAL, enlarge_to=250), pretrained=True)
    assert [step.size for step in plan.steps] == [250] * 4
    assert [step.reduced_to() for step in plan.steps] == [(100,), (150,), (200,), (250,)]
    plan = Plan.of(Training(), Regime(**GRADUAL, layers="all"), pretrained=True)
    assert [step.layers for step in plan.steps] == ["all"] * 4


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "100", [], [100, 0], {}, {"any": []}, {"some": [100]}, None])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match="should be a size in px, a list with one for each epoch, or"):
        Regime(sgdr=size)
