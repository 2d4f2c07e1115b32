"""The published schedules, step by step, against values computed by hand from their sources."""

import random
import re

import pytest
from configurations import FILES, PAPER, merged
from conftest import ROOT

from entr.config.validation import validate_config

IMAGES = 640
"""Ten steps of 64 images per epoch."""


@pytest.fixture(scope="module")
def config():
    return validate_config(merged(*FILES, PAPER, ROOT / "config/schedules.yaml"))


@pytest.fixture(scope="module")
def plan(config):
    return lambda regime: config.plan("ucm", regime)


def epochs_of(plan, images=IMAGES):
    """Return phase, sizes and batch sizes of each epoch."""
    sizes = random.Random(0)
    for phase in plan.phases:
        for epoch in range(phase.epochs):
            batches = phase.batches(epoch, images, sizes)
            yield phase, [batch.size for batch in batches], [batch.images for batch in batches]


def sizes_of(plan):
    """Return the size of each step."""
    return [size for _, sizes, _ in epochs_of(plan) for size in sizes]


def test_all_schedules_have_as_many_epochs_as_the_control_except_matched(config, plan):
    epochs = {regime: plan(regime).epochs for regime in config.grid.regimes}
    assert epochs.pop("matched") == 13
    assert set(epochs.values()) == {19}
    assert len(epochs) == 11


@pytest.mark.parametrize(
    ("regime", "sizes", "tested"),
    [
        ("no-increase", (250, 250, 250, 250), 250),
        # 128 / 224 · 250 = 142.9
        ("constant-128", (143, 143, 143, 143), 143),
        # 176 / 224 · 250 = 196.4
        ("train-176", (196, 196, 196, 196), 250),
        ("gradual", (100, 150, 200, 250), 250),
        ("stepwise", (100, 100, 250, 250), 250),
        ("efficientnetv2", (100, 150, 200, 250), 250),
    ],
)
def test_schedule_has_one_size_per_phase(plan, regime, sizes, tested):
    chosen = plan(regime)
    assert tuple(phase.size for phase in chosen.phases) == sizes
    assert chosen.tta_size == tested
    assert {images for _, _, counts in epochs_of(chosen) for images in counts} == {64}


def test_composer_ramps_between_half_and_four_fifths_of_the_training_in_every_step(plan):
    steps = sizes_of(plan("composer"))
    assert len(steps) == 190
    # 0.5 · 250 until step 95 of 190
    assert steps[:96] == [125] * 96
    # step 97: progress 97/190, (97/190 - 0.5) / 0.3 of 125 px is 4.4 px: rounded to 5 px
    assert steps[97] == 130
    # step 114: 19/190 / 0.3 is a third of 125 px, 166.7 px
    assert steps[114] == 165
    # step 133: two thirds, 208.3 px
    assert steps[133] == 210
    assert steps[152:] == [250] * 38
    assert steps == sorted(steps)
    assert {size % 5 for size in steps} == {0}


def test_ffcv_increases_by_epoch_in_multiples_of_32_px(plan):
    by_epoch = [set(sizes) for _, sizes, _ in epochs_of(plan("ffcv"))]
    # epoch 15 of 19: 160 + 32 · (15/19 - 0.739) / 0.125 = 172.9, rounded to 160; epoch 16: 186.4, rounded to 192
    assert by_epoch == [{160}] * 16 + [{192}] * 3
    assert plan("ffcv").tta_size == 250


def test_efficientnetv2_increases_regularisation_by_quarters(plan):
    phases = plan("efficientnetv2").phases
    # of Table 6, EfficientNetV2-M: the first stage has a quarter of the last one's dropout and RandAugment
    assert [phase.dropout for phase in phases] == [0.125, 0.25, 0.375, 0.5]
    assert [phase.augmentation.max_rotate for phase in phases] == [2.5, 5, 7.5, 10]
    assert [round(phase.augmentation.max_zoom, 3) for phase in phases] == [1.025, 1.05, 1.075, 1.1]
    assert [phase.augmentation.max_warp for phase in phases] == [0.0125, 0.025, 0.0375, 0.05]
    assert [phase.augmentation.max_lighting for phase in phases] == [0.0125, 0.025, 0.0375, 0.05]
    # linear from 0 to 0.2 in four stages
    assert [phase.mixup for phase in phases] == pytest.approx([0, 0.2 / 3, 0.4 / 3, 0.2], abs=1e-3)
    assert {phase.augmentation.flip for phase in phases} == {"dihedral"}


def test_mix_and_match_has_constant_pixels_per_step_and_the_shares_of_the_source(plan):
    # 64 · (250/107)² = 349.4; 64 · (250/143)² = 195.6
    expected = {107: 349, 143: 196, 250: 64}
    counts = dict.fromkeys(expected, 0)
    for _, sizes, images in epochs_of(plan("mix-and-match"), 100_000):
        for size, count in zip(sizes[:-1], images[:-1], strict=True):
            assert count == expected[size]
            counts[size] += count
    total = sum(counts.values())
    assert {size: count / total for size, count in counts.items()} == pytest.approx(
        {107: 0.2, 143: 0.6, 250: 0.2}, abs=0.02
    )


def test_dawnbench_has_the_sizes_batches_and_rates_of_the_source(plan):
    chosen = plan("dawnbench")
    epochs = list(epochs_of(chosen, 2560))
    # 128, 224 and 288 px for 40, 51 and 9 % of the epochs
    assert [sizes[0] for _, sizes, _ in epochs] == [111] * 8 + [194] * 9 + [250] * 2
    # 512 : 224 : 128
    assert [images[0] for _, _, images in epochs] == [256] * 8 + [112] * 9 + [64] * 2
    rates = [
        (phase.phase, *(factor * phase.learning_rate / 0.04 for factor in phase.lr_factors)) for phase in chosen.phases
    ]
    names, starts, ends = zip(*rates, strict=True)
    assert starts == pytest.approx((1, 1, 0.4375, 0.04375, 0.04375, 0.004375, 0.0025, 0.00025))
    assert ends == pytest.approx((2, 1, 0.4375, 0.04375, 0.04375, 0.004375, 0.0025, 0.00025))
    assert [phase.layers for phase in chosen.phases] == ["head"] * 4 + ["all"] * 4
    assert names[chosen.phases.index(next(phase for phase in chosen.phases if phase.layers == "all")) - 1] == (
        chosen.training.subtotal_after
    )


def test_fixres_fine_tunes_the_head_at_the_test_size(plan):
    *trained, last = plan("fixres").phases
    # 224 / 320 · 250
    assert {phase.size for phase in trained} == {175}
    assert (last.size, last.layers, last.learning_rate, last.epochs) == (250, "head", 0.001, 2)
    augmentation = last.augmentation
    assert (augmentation.max_rotate, augmentation.max_zoom, augmentation.max_warp, augmentation.max_lighting) == (
        (0, 1, 0, 0)
    )


def test_overview_states_the_cost_of_each_schedule(config, plan):
    """Pixels relative to the control; a step of all layers counts as three forward passes."""

    def cost(regime):
        return sum(
            sum(count * size**2 for size, count in zip(sizes, images, strict=True))
            * (3 if phase.layers == "all" else 1)
            for phase, sizes, images in epochs_of(plan(regime), 20_000)
        )

    text = (ROOT / "docs/schedules.md").read_text()
    stated = dict(re.findall(r"^\| \[`([\w-]+)`\].*\| ([0-9.]+) \| [^|]+\|$", text, re.MULTILINE))
    assert set(stated) == set(config.grid.regimes)
    for regime, value in stated.items():
        assert float(value) == pytest.approx(cost(regime) / cost("no-increase"), abs=0.011), regime


def test_every_schedule_has_a_method_card(config):
    cards = re.findall(r"^### `([\w-]+)`$", (ROOT / "docs/schedules.md").read_text(), re.MULTILINE)
    assert cards == list(config.grid.regimes)
