"""What all figures share: their look, a colour and a shape for each regime, and the files that each is written as."""

from collections.abc import Sequence
from pathlib import Path

import altair as alt

from entr.guards import atomic_write

PIXELS_PER_INCH = 160
COLOURS = {
    "no-increase": "#000000",
    "gradual": "#0072B2",
    "stepwise": "#E69F00",
    "small": "#009E73",
    "medium": "#56B4E9",
    "matched": "#CC79A7",
    "blur": "#D55E00",
}
SPARE_COLOURS = ("#999999", "#F0E442", "#7F3C8D", "#A5AA99")
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-right", "triangle-left")
STYLE = alt.Config(
    font="Helvetica, Arial, sans-serif",
    background="white",
    title=alt.TitleConfig(fontSize=15, subtitleFontSize=12, subtitleColor="#444444", subtitlePadding=6),
    header=alt.HeaderConfig(labelFontSize=12, labelFontWeight="bold"),
    axis=alt.AxisConfig(labelFontSize=11, titleFontSize=12, gridColor="#e6e6e6", domainColor="#888888"),
    legend=alt.LegendConfig(labelFontSize=12, titleFontSize=12, symbolSize=110, symbolOpacity=1, orient="bottom"),
    view=alt.ViewConfig(stroke="#cccccc"),
)


def regime_scales(regimes: Sequence[str]) -> dict[str, alt.Color | alt.Shape]:
    """Return colour and shape of each regime, with one legend for both."""
    spare = iter(SPARE_COLOURS * len(regimes))
    colours = [COLOURS.get(regime) or next(spare) for regime in regimes]
    known = [*COLOURS, *(regime for regime in regimes if regime not in COLOURS)]
    shapes = [SHAPES[known.index(regime) % len(SHAPES)] for regime in regimes]
    domain = list(regimes)
    return {
        "color": alt.Color("regime:N", title="regime", scale=alt.Scale(domain=domain, range=colours)),
        "shape": alt.Shape("regime:N", title="regime", scale=alt.Scale(domain=domain, range=shapes)),
    }


def titled(chart: alt.TopLevelMixin, title: str, subtitle: str) -> alt.TopLevelMixin:
    """Return a chart in the style of all, with a title that is its alternative text too."""
    return chart.properties(
        title=alt.TitleParams(title, subtitle=subtitle, anchor="start", offset=14),
        description=f"{title}: {subtitle}.",
        config=STYLE,
    )


def save(chart: alt.TopLevelMixin, folder: str | Path, name: str) -> None:
    """Write a chart as HTML that needs no network, as SVG and as PNG."""
    for ending, options in {"html": {"inline": True}, "svg": {}, "png": {"ppi": PIXELS_PER_INCH}}.items():
        with atomic_write(Path(folder, f"{name}.{ending}"), "wb" if ending == "png" else "w") as file:
            chart.save(file, format=ending, **options)
