from itertools import combinations

import pytest
import yaml
from conftest import ROOT

from entr.figures import palette

SCHEDULES = yaml.safe_load((ROOT / "config" / "schedules.yaml").read_text(encoding="utf-8"))["grid"]["regimes"]
LEAST_CONTRAST = 4.5
LEAST_DIFFERENCE = 0.065
"""Least distance of two marks in Oklab, in which black and white are 1 apart."""


def linear(colour):
    """Return the linear red, green and blue of a colour such as ``#1c1c1c``, in [0, 1]."""
    values = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    return [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]


def luminance(colour):
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True))


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def oklab(colour):
    """Return lightness, green–red and blue–yellow (Ottosson 2020)."""
    r, g, b = linear(colour)
    l = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)  # noqa: E741  the author's name
    m = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    s = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
        1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
        0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s,
    )


def difference(one, other):
    return sum((a - b) ** 2 for a, b in zip(oklab(one), oklab(other), strict=True)) ** 0.5


def test_each_published_schedule_has_a_colour_and_a_shape_of_its_own():
    assert set(SCHEDULES) <= set(palette.COLOURS)
    for kind in ("mark", "text", "dark"):
        assert len({getattr(palette.COLOURS[regime], kind) for regime in SCHEDULES}) == len(SCHEDULES)
    assert len({palette.SHAPES[regime] for regime in palette.COLOURS}) == len(palette.COLOURS)


@pytest.mark.parametrize("kind", ["mark", "dark"])
def test_colours_of_the_published_schedules_differ_visibly(kind):
    colours = {regime: getattr(palette.COLOURS[regime], kind) for regime in SCHEDULES}
    differences = {pair: difference(*(colours[regime] for regime in pair)) for pair in combinations(SCHEDULES, 2)}
    assert min(differences.values()) > LEAST_DIFFERENCE, min(differences, key=differences.get)


@pytest.mark.parametrize("regime", [*palette.COLOURS, *range(len(palette.SPARE_COLOURS))])
def test_text_in_the_colour_of_a_regime_is_legible_on_light_and_dark_pages(regime):
    colour = palette.SPARE_COLOURS[regime] if isinstance(regime, int) else palette.COLOURS[regime]
    assert contrast(colour.text, palette.PAPER) >= LEAST_CONTRAST
    assert contrast(colour.dark, palette.DARK[palette.PAPER]) >= LEAST_CONTRAST


def test_each_light_colour_has_one_counterpart_on_dark_pages():
    pairs = [*palette.DARK.items(), *palette.SHADES.items()]
    for colour in (*palette.COLOURS.values(), *palette.SPARE_COLOURS):
        pairs += [(colour.mark, colour.dark), (colour.text, colour.dark)]
    counterparts = {}
    for light, dark in pairs:
        assert counterparts.setdefault(light.lower(), dark) == dark, light


def test_custom_regimes_keep_their_shapes_and_colours_when_schedules_join():
    few, many = ["no-increase", "mine", "yours"], [*SCHEDULES, "mine", "yours"]
    for choose in (palette.regime_shapes, palette.regime_colours):
        assert {name: choose(few)[name] for name in few} == {name: choose(many)[name] for name in few}
