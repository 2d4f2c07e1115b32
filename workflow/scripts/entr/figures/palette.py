"""The colours of figures and pages, for light and dark pages, and the shapes of regimes.

Figures are drawn in the light colours, so that they look the same in print and in a README. Pages in dark mode
replace each colour of a chart by its counterpart, see `dark_rules`.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """The colour of a regime: of marks and of text, each on a light and on a dark page."""

    mark: str
    text: str
    """Darker than the mark, so that its contrast with white is at least 4.5 : 1."""
    dark: str
    """Of marks and text on a dark page; its contrast with `DARK` of `PAPER` is at least 4.5 : 1."""


COLOURS = {
    "no-increase": Colour("#000000", "#000001", "#f4f4f4"),
    "gradual": Colour("#0072B2", "#00639B", "#4FA8F0"),
    "stepwise": Colour("#E69F00", "#8F6200", "#F5B83D"),
    "small": Colour("#009E73", "#00724F", "#3CC79C"),
    "medium": Colour("#56B4E9", "#1F6E9C", "#A9DCF9"),
    "matched": Colour("#CC79A7", "#A0437A", "#E6A1C8"),
    "upsampled": Colour("#D55E00", "#A84A00", "#FF8A3D"),
    # the published schedules
    "constant-128": Colour("#6B9E1F", "#4C7A0B", "#A6D45C"),
    "train-176": Colour("#1FB5B5", "#0B7878", "#5FD9D6"),
    "composer": Colour("#E0263C", "#C01930", "#FF7583"),
    "ffcv": Colour("#7B52D3", "#6A42C0", "#B59DFF"),
    "efficientnetv2": Colour("#8A5A2B", "#74471C", "#D3A878"),
    "mix-and-match": Colour("#A3127A", "#8F0F6B", "#EC66C6"),
    "dawnbench": Colour("#6F8296", "#566A7E", "#A3B3C6"),
    "fixres": Colour("#1F3A93", "#1F3A94", "#6F86FF"),
}
"""Okabe & Ito 2008, Color Universal Design, for the regimes of the paper and its controls; the schedules have colours
that differ from those and from each other, because a grid may contain all of them."""
SPARE_COLOURS = (
    Colour("#999999", "#666667", "#B5B5B6"),
    Colour("#B8A900", "#716800", "#E8DC55"),
    Colour("#7F3C8D", "#7F3C8E", "#C79AD3"),
    Colour("#A5AA99", "#62665A", "#C8CCBE"),
)
"""For regimes that are not in `COLOURS`."""

_BASIC = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-right", "triangle-left")
_DRAWN = (
    "M-1.1,-0.5H1.1V0.5H-1.1Z",
    "M-0.5,-1.1H0.5V1.1H-0.5Z",
    "M0,-1.3L0.32,-0.44L1.24,-0.4L0.52,0.17L0.76,1.05L0,0.55L-0.76,1.05L-0.52,0.17L-1.24,-0.4L-0.32,-0.44Z",
    "M-1,-1.1H1L-1,1.1H1Z",
    "M-1.1,-1V1L1.1,-1V1Z",
    "M-1.1,-0.6L-0.6,-1.1L0,-0.5L0.6,-1.1L1.1,-0.6L0.5,0L1.1,0.6L0.6,1.1L0,0.5L-0.6,1.1L-1.1,0.6L-0.5,0Z",
    "M-0.5,-0.9H1.2L0.5,0.9H-1.2Z",
    "M-1.2,0.6A1.2,1.2,0,0,1,1.2,0.6Z",
)
"""Bars, star, hourglass, bow tie, x, parallelogram and half disc, as SVG paths of about the size of a unit circle."""
SHAPES = dict(zip(COLOURS, (*_BASIC[:-1], *_DRAWN), strict=True))
"""The shape of each regime of `COLOURS`."""
SPARE_SHAPES = (_BASIC[-1], *_BASIC[:-1])
"""For regimes that are not in `COLOURS`."""

INK = "#1c1c1c"
MUTED = "#595959"
"""Colour of annotations; its contrast with white is 7 : 1."""
LABEL = "#3d3d3d"
PAPER = "#ffffff"
GRID = "#e6e6e6"
FRAME = "#cccccc"
AXIS = "#888888"
GUIDE = "#b0b0b0"
"""Colour of lines that join or separate marks."""

DARK = {
    INK: "#eaeaea",
    MUTED: "#b0b4bb",
    LABEL: "#cfd2d6",
    PAPER: "#1f2228",
    GRID: "#353a43",
    FRAME: "#474d57",
    AXIS: "#878c95",
    GUIDE: "#666c76",
}
"""Counterpart of each neutral colour on a dark page."""
SHADES = {
    "#2d3142": "#dfe3ee",
    "#5c6f91": "#93a9d1",
    "#9fb1bc": "#5f7480",
    "#c9b79c": "#8a7554",
    "#d9d9d9": "#4d5158",
    "#f0efeb": "#33373e",
}
"""From dark to light, so that they can be told apart without colour; none is the colour of a regime."""


def regime_colours(regimes: Sequence[str]) -> dict[str, Colour]:
    """Return the colour of each regime, which does not depend on the others unless it is a custom one."""
    spare = iter(SPARE_COLOURS * len(regimes))
    return {regime: COLOURS.get(regime) or next(spare) for regime in regimes}


def regime_shapes(regimes: Sequence[str]) -> dict[str, str]:
    """Return the shape of each regime, which does not depend on the others unless it is a custom one."""
    spare = iter(SPARE_SHAPES * len(regimes))
    return {regime: SHAPES.get(regime) or next(spare) for regime in regimes}


def dark_rules() -> str:
    """Return style sheet rules that replace the colours of charts by their counterparts on a dark page."""
    pairs = DARK | SHADES
    for colour in (*COLOURS.values(), *SPARE_COLOURS):
        pairs |= {colour.mark: colour.dark, colour.text: colour.dark}
    return "\n".join(
        f'.chart svg [{attribute}="{light}"] {{ {attribute}: {dark}; }}'
        for light, dark in pairs.items()
        for attribute in ("fill", "stroke")
    )
