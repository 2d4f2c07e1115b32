"""What all figures share: their look, a colour and a shape for each regime, switches, and the files of each.

Charts have a solid light background, so that they read the same on a dark page, in print and in a README.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from entr import pages
from entr.guards import atomic_write

PIXELS_PER_INCH = 160
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
COLOURS = {
    "no-increase": "#000000",
    "gradual": "#0072B2",
    "stepwise": "#E69F00",
    "small": "#009E73",
    "medium": "#56B4E9",
    "matched": "#CC79A7",
    "blur": "#D55E00",
}
"""Okabe & Ito 2008, Color Universal Design."""
SPARE_COLOURS = ("#999999", "#F0E442", "#7F3C8D", "#A5AA99")
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-right", "triangle-left")
MUTED = "#595959"
"""Of what is beside the data: legible on white (7 : 1)."""
LINE = 84
"""Letters of a title in one line."""
SUBTITLE = "subtitle"
STYLE = alt.Config(
    font="Helvetica, Arial, sans-serif",
    background="white",
    padding=10,
    title=alt.TitleConfig(fontSize=15, subtitleFontSize=12, subtitleColor=MUTED, subtitlePadding=6),
    header=alt.HeaderConfig(labelFontSize=12, labelFontWeight="bold"),
    axis=alt.AxisConfig(labelFontSize=11, titleFontSize=12, gridColor="#e6e6e6", domainColor="#888888"),
    legend=alt.LegendConfig(
        labelFontSize=12, titleFontSize=12, symbolSize=110, symbolOpacity=1, orient="bottom", columns=8, labelLimit=220
    ),
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


def tip(column: str, title: str = "", number: str = "") -> alt.Tooltip:
    """Return a line of a tool tip; with a format it is a number."""
    kind = "quantitative" if number else "nominal"
    more = {"format": number} if number else {}
    return alt.Tooltip(column, type=kind, title=title or column, **more)


def switch(column: str, label: str, options: Mapping[str, str]) -> alt.Parameter:
    """Return a switch between the values of a column; the first is shown at first, and in print.

    Parameters
    ----------
    column : str
        Its name, and that of the switch: filter by `chosen`.
    label : str
        What is chosen.
    options : mapping of str to str
        What each value is called.
    """
    bind = alt.binding_select(options=list(options), labels=list(options.values()), name=f"{label}: ")
    return alt.param(name=f"chosen_{column}", value=next(iter(options), ""), bind=bind)


def chosen(*columns: str) -> str:
    """Return the filter that keeps what the switches of these columns say."""
    return " && ".join(f"datum.{column} === chosen_{column}" for column in columns)


def words(switches: Sequence[alt.Parameter], texts: Mapping[Any, str]) -> Any:  # noqa: ANN401  text or expression
    """Return words that follow the switches.

    Parameters
    ----------
    switches : sequence of parameter
        One or several.
    texts : mapping
        Text by the value of the switch, or by a tuple with one of each.
    """
    if len(texts) == 1:
        return next(iter(texts.values()))
    by_key = {"|".join([key] if isinstance(key, str) else key): _wrapped(text) for key, text in texts.items()}
    keys = " + '|' + ".join(one.name for one in switches)
    return alt.ExprRef(f"{json.dumps(by_key)}[{keys}]")


def titled(
    chart: alt.TopLevelMixin,
    title: Any,  # noqa: ANN401  see `words`
    subtitle: Sequence[Any],
    about: str,
    switches: Sequence[alt.Parameter] = (),
) -> alt.TopLevelMixin:
    """Return a chart in the style of all.

    Parameters
    ----------
    chart : chart
        Of any kind.
    title, subtitle : str or expression
        What was found, and what one has to know to read it; of the latter one for each line.
    about : str
        Alternative text: what is drawn, and what it shows.
    switches : sequence of parameter
        That the chart has.
    """
    lines = [line for line in subtitle if line]
    said = ", ".join(line.expr if isinstance(line, alt.ExprRef) else json.dumps(line) for line in lines)
    title = _wrapped(title)
    more = {"params": [one.param for one in switches]} if switches else {}
    return chart.properties(
        title=alt.TitleParams(title, subtitle=[], anchor="start", offset=14),
        description=about,
        usermeta={SUBTITLE: f"[{said}]"},
        config=STYLE,
        **more,
    )


def _wrapped(title: Any) -> Any:  # noqa: ANN401  as in `titled`
    """Return a title in lines that are no longer than a chart is wide."""
    return textwrap.wrap(title, LINE) if isinstance(title, str) else title


def spec_of(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Return what `titled` returned as Vega-Lite."""
    with alt.data_transformers.enable("default", max_rows=None):
        spec = chart.to_dict()
    # Vega-Lite takes an expression here as it does for the title, but its schema does not say so
    spec["title"]["subtitle"] = {"expr": spec.pop("usermeta")[SUBTITLE]}
    return spec


def nothing(why: str) -> alt.TopLevelMixin:
    """Return a chart that says why there is none."""
    chart = alt.Chart(alt.InlineData([{"why": why}])).mark_text(fontSize=13, color=MUTED).encode(text="why:N")
    return titled(chart.properties(width=420, height=60, view=alt.ViewBackground(strokeOpacity=0)), why, [], why)


def save(
    chart: alt.TopLevelMixin, name: str, shown: Mapping[str, Any], *, library: str | Path, folder: str | Path
) -> None:
    """Write a chart as Vega-Lite, as SVG, as PNG, and as a page that needs no network.

    Parameters
    ----------
    chart : chart
        What `titled` returns.
    name : str
        Of the files.
    shown : mapping
        See `pages.figure`.
    library : path
        Vega's JavaScript, see `pages.bundle`.
    folder : path
        Gets ``<name>.vl.json``, ``.svg``, ``.png`` and ``.html``.
    """
    spec = spec_of(chart)
    svg = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    page = pages.figure(name, shown, spec, Path(library).read_text(encoding="utf-8"))
    png = vl_convert.svg_to_png(svg, ppi=PIXELS_PER_INCH)
    texts = {"vl.json": json.dumps(spec), "svg": svg, "html": page}
    for ending, content in texts.items():
        with atomic_write(Path(folder, f"{name}.{ending}")) as file:
            file.write(content)
    with atomic_write(Path(folder, f"{name}.png"), "wb") as file:
        file.write(png)
