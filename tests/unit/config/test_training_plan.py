import random

import pytest
from pydantic import ValidationError

from entr.config.base import scale_size
from entr.config.regimes import Ramp, Regime
from entr.config.training import Phase, Training
from entr.config.training_plan import Plan

GRADUAL = {"sgdr": 100, "clrs": 150, "cmult": 200, "rpl": 250, "tta": 250}


def plan(pretrained=True, training=None, **changes):
    return Plan.of(training or Training(), Regime(**GRADUAL | changes), pretrained=pretrained)


def test_default_phases_are_those_of_the_course():
    lengths = {name: phase.lengths for name, phase in Training().phases.items()}
    assert lengths == {"sgdr": (2,), "clrs": (1, 1, 1), "cmult": (1, 2, 4), "rpl": (1, 2, 4)}


def test_plan_gives_each_phase_its_size_layers_and_learning_rates():
    gradual = plan()
    assert [(phase.phase, phase.size, phase.layers) for phase in gradual.phases] == [
        ("sgdr", 100, "head"),
        ("clrs", 150, "head"),
        ("cmult", 200, "head"),
        ("rpl", 250, "all"),
    ]
    assert gradual.phases[-1].learning_rates() == pytest.approx((0.01 / 9, 0.01 / 3, 0.01))
    assert (gradual.tta_size, gradual.epochs) == (250, 2 + 3 + 7 + 7)


def test_randomly_initialised_model_trains_all_layers_in_every_phase():
    assert {phase.layers for phase in plan(pretrained=False).phases} == {"all"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sgdr": {"random": [100, 150]}},
        {"upsample_to": 250},
        {"ramp": {"sizes": [100, 250], "update": "step"}},
    ],
)
def test_plan_survives_the_parameters_of_a_rule(changes):
    assert Plan.model_validate(plan(**changes).plain()) == plan(**changes)


def test_phases_run_in_the_order_of_the_schedule():
    """Snakemake merges configuration files in an order of its own, which shuffles the keys of mappings."""
    phases = dict(reversed(Training().phases.items()))
    assert [phase.phase for phase in plan(training=Training(phases=phases)).phases] == ["sgdr", "clrs", "cmult", "rpl"]


def test_phase_can_be_omitted_from_the_schedule():
    assert [phase.phase for phase in plan(training=Training(schedule=("sgdr", "rpl"))).phases] == ["sgdr", "rpl"]


def test_cycles_grow_by_their_factor():
    assert Phase(cycles=4, cycle_length=2, cycle_mult=3).lengths == (2, 6, 18, 54)


def test_regime_may_set_the_size_of_each_epoch():
    """The other reading of the paper's "stepwise": the last two epochs of cmult at full size."""
    cmult = plan(cmult=[100] * 5 + [250] * 2).phases[2]
    assert cmult.sizes == (100, 100, 100, 100, 100, 250, 250)
    assert (cmult.size, cmult.input_sizes(), cmult.stored_sizes()) == (250, (100, 250), (100, 250))
    assert [cmult.input_size_in(epoch) for epoch in (0, 4, 5)] == [100, 100, 250]


def test_list_of_sizes_must_be_as_long_as_its_phase():
    with pytest.raises(ValueError, match="phase cmult has 7 epochs, but 2 sizes; give one size, or one per epoch"):
        plan(cmult=[100, 250])


def test_random_sizes_are_all_stored_and_the_largest_is_evaluated():
    sgdr = plan(sgdr={"random": [150, 100]}).phases[0]
    assert (sgdr.drawn, sgdr.sizes, sgdr.size) == ((150, 100), (150, 150), 150)
    assert sgdr.stored_sizes() == sgdr.input_sizes() == (100, 150)


def test_upsampled_images_are_stored_small_and_passed_to_the_model_large():
    phases = plan(upsample_to=250).phases
    assert [phase.size for phase in phases] == [250] * 4
    assert [phase.stored_sizes() for phase in phases] == [(100,), (150,), (200,), (250,)]
    assert {phase.input_sizes() for phase in phases} == {(250,)}
    assert phases[0].input_size_in(0) == 250


def test_regime_may_train_all_layers_in_every_phase():
    assert [phase.layers for phase in plan(layers="all").phases] == ["all"] * 4


@pytest.mark.parametrize(("size", "scale", "expected"), [(250, 1, 250), (75, 1, 75), (75, 0.4, 30), (250, 0.3, 76)])
def test_scaled_sizes_are_even(size, scale, expected):
    assert scale_size(size, scale) == expected


def test_scale_multiplies_every_size_of_a_plan():
    training = Training(full_size=250, evaluation_sizes=(75, 76, 350))
    changes = {"clrs": [100, 150, 200], "cmult": {"random": [100, 250]}, "upsample_to": 250}
    scaled = Plan.of(training, Regime(**GRADUAL | changes), pretrained=True, scale=0.4)
    assert [phase.sizes for phase in scaled.phases] == [(40,) * 2, (40, 60, 80), (100,) * 7, (100,) * 7]
    assert scaled.phases[2].drawn == (40, 100)
    assert {phase.upsample_to for phase in scaled.phases} == {100}
    assert (scaled.tta_size, scaled.training.full_size, scaled.training.evaluation_sizes) == (100, 100, (30, 140))
    assert scaled.scale == 0.4


RAMP = Ramp(sizes=(100, 200), during=(0.25, 0.75), increment=10)


def ramped(scale=1.0, **ramp):
    regime = Regime(ramp=RAMP.model_copy(update=ramp), tta=200)
    return Plan.of(
        Training(phases={"a": Phase(cycles=4), "b": Phase(cycles=4)}, schedule=("a", "b")),
        regime,
        pretrained=True,
        scale=scale,
    )


@pytest.mark.parametrize(
    ("progress", "size"),
    [(0, 100), (0.25, 100), (0.3, 110), (0.33, 120), (0.5, 150), (0.74, 200), (0.75, 200), (1, 200)],
)
def test_ramp_is_linear_in_multiples_of_its_increment(progress, size):
    assert RAMP.size_at(progress) == size


def test_ramp_by_epoch_has_the_size_at_the_beginning_of_each_epoch():
    first, second = ramped().phases
    assert (first.sizes, second.sizes) == ((100, 100, 100, 120), (150, 180, 200, 200))
    assert (first.ramp, second.ramp) == (None, None)


def test_ramp_by_step_is_stored_at_its_last_size_and_downscaled_in_each_step():
    first, second = ramped(update="step").phases
    # at the end of each epoch
    assert (first.sizes, second.sizes) == ((100, 100, 120, 150), (180, 200, 200, 200))
    assert (first.stored_sizes(), second.stored_sizes()) == ((150,), (200,))
    batches = second.batches(0, 256, random.Random(0))
    # progress 0.5, 0.53, 0.56 and 0.59
    assert batches == ((150, 64, 200), (160, 64, 200), (160, 64, 200), (170, 64, 200))


def test_ramp_is_scaled_after_it_is_rounded():
    first, second = ramped(scale=0.4).phases
    assert (first.sizes, second.sizes) == ((40, 40, 40, 48), (60, 72, 80, 80))


@pytest.mark.parametrize("key", ["sizes", "during"])
def test_ramp_increases(key):
    with pytest.raises(ValidationError, match="sizes and during each need"):
        Ramp.model_validate(RAMP.model_dump() | {key: (1, 0) if key == "during" else (200, 100)})


def test_batch_size_may_depend_on_the_image_size():
    training = Training(batch_size=10, batch_size_at=200)
    (phase, *_) = plan(training=training).phases
    # 100 px: four times as many
    assert phase.batch_size_of(100) == 40
    sizes = random.Random(0)
    assert [batch.images for batch in phase.batches(0, 95, sizes)] == [40, 40, 15]
    # less than a batch at 200 px is dropped
    assert [batch.images for batch in phase.batches(0, 85, sizes)] == [40, 40]
    assert [batch.images for batch in phase.batches(0, 7, sizes)] == [7]


def test_random_sizes_have_equal_shares_of_the_images():
    training = Training(batch_size=10, batch_size_at=200)
    phase = plan(training=training, sgdr={"random": [100, 200]}).phases[0]
    batches = phase.batches(0, 100_000, random.Random(0))
    assert sum(batch.images for batch in batches if batch.size == 100) == pytest.approx(50_000, rel=0.05)


def test_phase_may_override_settings_of_the_training():
    phases = Training().phases | {
        "rpl": Phase(batch_size=8, dropout=0, learning_rate=1, augmentation={"max_zoom": 1.5}, mixup=0.2)
    }
    first, *_, last = plan(training=Training(phases=phases, dropout=0.4)).phases
    assert (last.batch_size, last.dropout, last.learning_rate, last.mixup) == (8, 0, 1, 0.2)
    assert (last.augmentation.max_zoom, last.augmentation.max_rotate) == (1.5, 10)
    assert (first.batch_size, first.dropout, first.learning_rate, first.mixup) == (64, 0.4, 0.01, 0)


def test_number_of_epochs_can_be_changed_in_proportion():
    longer = plan(cmult=[100] * 5 + [250] * 2).with_epochs({"sgdr": 3, "clrs": 6, "cmult": 14, "rpl": 3})
    assert [phase.lengths for phase in longer.phases] == [(3,), (2, 2, 2), (2, 4, 8), (1, 2)]
    assert longer.phases[2].sizes == (100,) * 10 + (250,) * 4
    assert longer.epochs == 26
    same = plan()
    assert same.with_epochs({phase.phase: phase.epochs for phase in same.phases}).plain() == same.plain()


def test_ramp_by_step_follows_the_changed_number_of_epochs():
    configured = ramped(update="step")
    assert configured.with_epochs({"a": 4, "b": 4}) == configured
    shorter = configured.with_epochs({"a": 2, "b": 2})
    assert [phase.sizes for phase in shorter.phases] == [(100, 150), (200, 200)]
