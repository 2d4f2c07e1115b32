"""The colours of figures and pages, for light and dark pages.

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
}
"""Okabe & Ito 2008, Color Universal Design."""
SPARE_COLOURS = (
    Colour("#999999", "#666667", "#B5B5B6"),
    Colour("#B8A900", "#716800", "#E8DC55"),
    Colour("#7F3C8D", "#7F3C8E", "#C79AD3"),
    Colour("#A5AA99", "#62665A", "#C8CCBE"),
)
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
