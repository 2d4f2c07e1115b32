"""The common look of all figures, their switches and titles, and the files that each is saved in.

Charts have a solid light background, so that they look the same on a dark page, in print and in a README.
"""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from entr.figures import html_pages
from entr.jobs.files import atomic_write

Spec = dict[str, Any]
"""A chart in the JSON format of Vega-Lite."""

PIXELS_PER_INCH = 160
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
COLOURS = {
    "no-increase": "#000000",
    "gradual": "#0072B2",
    "stepwise": "#E69F00",
    "small": "#009E73",
    "medium": "#56B4E9",
    "matched": "#CC79A7",
    "upsampled": "#D55E00",
}
"""Okabe & Ito 2008, Color Universal Design."""
SPARE_COLOURS = ("#999999", "#F0E442", "#7F3C8D", "#A5AA99")
"""For regimes that are not in `COLOURS`."""
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-right", "triangle-left")
MUTED = "#595959"
"""Colour of annotations; its contrast with white is 7 : 1."""
LAYER_GROUPS = ("head", "late", "early")
DASHES = ([1, 0], [6, 3], [2, 2])
"""Line patterns of the layer groups."""

CHART_WIDTH = 600
"""Width in px that the panels of a row share."""
MIN_PANEL_WIDTH = 170
"""Smallest width of a panel in px."""
TITLE_LINE = 84
"""Letters per line of a title."""
PANEL_TITLE_SIZE = 13
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


def panel_width(panels: int) -> int:
    """Return the width in px of each of several panels side by side."""
    return max(MIN_PANEL_WIDTH, CHART_WIDTH // panels)


def panel_title(text: str) -> alt.TitleParams:
    """Return the title of one panel of a figure."""
    return alt.TitleParams(text, fontSize=PANEL_TITLE_SIZE, anchor="start")


def regime_scales(regimes: Sequence[str]) -> dict[str, alt.Color | alt.Shape]:
    """Return the colour and the shape of each regime, with one legend for both."""
    spare_colours = iter(SPARE_COLOURS * len(regimes))
    colours = [COLOURS.get(regime) or next(spare_colours) for regime in regimes]
    order = [*COLOURS, *(regime for regime in regimes if regime not in COLOURS)]
    shapes = [SHAPES[order.index(regime) % len(SHAPES)] for regime in regimes]
    domain = list(regimes)
    return {
        "color": alt.Color("regime:N", title="regime", scale=alt.Scale(domain=domain, range=colours)),
        "shape": alt.Shape("regime:N", title="regime", scale=alt.Scale(domain=domain, range=shapes)),
    }


def layer_dashes() -> alt.StrokeDash:
    """Return the line pattern of each layer group."""
    scale = alt.Scale(domain=list(LAYER_GROUPS), range=list(DASHES))
    return alt.StrokeDash("layers:N", sort=list(LAYER_GROUPS), title="layers", scale=scale)


def field_tooltip(column: str, title: str = "", number: str = "") -> alt.Tooltip:
    """Return one line of a tooltip; a number format makes the column quantitative."""
    kind = "quantitative" if number else "nominal"
    formatting = {"format": number} if number else {}
    return alt.Tooltip(column, type=kind, title=title or column, **formatting)


def group_tooltip() -> list[alt.Tooltip]:
    """Return the lines of a tooltip that name dataset, model and regime."""
    return [field_tooltip(column) for column in ("dataset", "model", "regime")]


def switch(column: str, label: str, options: Mapping[str, str]) -> alt.Parameter:
    """Return a drop-down list that selects a value of a column.

    Parameters
    ----------
    column : str
        Column to filter by, see `switch_filter`.
    label : str
        Text before the list.
    options : mapping of str to str
        Label of each value; the first value is selected initially, and in print.
    """
    bind = alt.binding_select(options=list(options), labels=list(options.values()), name=f"{label}: ")
    return alt.param(name=f"chosen_{column}", value=next(iter(options), ""), bind=bind)


def switch_filter(*columns: str) -> str:
    """Return a filter for the rows whose values are selected by the switches of these columns."""
    return " && ".join(f"datum.{column} === chosen_{column}" for column in columns)


def switched_text(selector: alt.Parameter, texts: Mapping[str, str]) -> str | alt.ExprRef:
    """Return a text that depends on a switch.

    Parameters
    ----------
    selector : parameter
        The switch.
    texts : mapping of str to str
        Text for each value of the switch.
    """
    return _switched([selector], texts)


def _switched(switches: Sequence[alt.Parameter], texts: Mapping[Any, str | list[str]]) -> Any:  # noqa: ANN401  a text
    """Return the only text, or the expression for the text that belongs to the selected values."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    by_values = {"|".join([key] if isinstance(key, str) else key): text for key, text in texts.items()}
    selected = " + '|' + ".join(one.name for one in switches)
    return alt.ExprRef(f"{json.dumps(by_values)}[{selected}]")


def with_title(
    chart: alt.TopLevelMixin,
    title: str | Mapping[Any, str],
    subtitle: Iterable[str | alt.ExprRef],
    about: str,
    switches: Sequence[alt.Parameter] = (),
) -> Spec:
    """Return a chart as Vega-Lite, with title, alternative text and the common style.

    Parameters
    ----------
    chart : chart
        Chart of any kind.
    title : str or mapping
        The finding; if it depends on the switches, the finding for each value of the switch, or for each tuple of
        values if there are several switches.
    subtitle : iterable of str or expression
        What is needed to read the chart, one item per line; empty ones are left out.
    about : str
        What is drawn. Together with the title, it is the alternative text.
    switches : sequence of parameter
        The switches of the chart.

    Returns
    -------
    dict
        The specification.
    """
    titles = {"": title} if isinstance(title, str) else title
    wrapped = {key: _wrap(text) for key, text in titles.items()}
    parameters = {"params": [one.param for one in switches]} if switches else {}
    chart = chart.properties(
        title=alt.TitleParams(_switched(switches, wrapped), anchor="start", offset=14),
        description=" ".join([f"{next(iter(titles.values()))}.", about]).strip(),
        config=STYLE,
        **parameters,
    )
    with alt.data_transformers.enable("default", max_rows=None):
        spec = chart.to_dict()
    # Vega-Lite accepts an expression for the subtitle, but the schema against which Altair validates does not.
    spec["title"]["subtitle"] = {"expr": f"[{', '.join(_expression(line) for line in subtitle if line)}]"}
    return spec


def _wrap(title: str) -> list[str]:
    """Return the lines of a title; a number stays in one line with its name and its unit."""
    protected = re.sub(r" (?=[−+]?[0-9])|(?<=[0-9]) (?=%|px|points?)", "\N{NO-BREAK SPACE}", title)
    return [
        line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(protected, TITLE_LINE, break_on_hyphens=False)
    ]


def _expression(line: str | alt.ExprRef) -> str:
    return line.expr if isinstance(line, alt.ExprRef) else json.dumps(line)


def empty_chart(reason: str) -> Spec:
    """Return a chart that states why there is nothing to draw."""
    chart = alt.Chart(alt.InlineData([{"reason": reason}])).mark_text(fontSize=13, color=MUTED).encode(text="reason:N")
    without_frame = alt.ViewBackground(strokeOpacity=0)
    return with_title(chart.properties(width=420, height=60, view=without_frame), reason, [], "")


def save_figure(spec: Spec, name: str, figure: Mapping[str, Any], *, library: str | Path, folder: str | Path) -> None:
    """Save a chart as Vega-Lite, SVG and PNG, and as a page that works offline.

    Parameters
    ----------
    spec : dict
        Chart as Vega-Lite.
    name : str
        Name of the files.
    figure : mapping
        Entry of the catalogue as plain values.
    library : path
        Vega's JavaScript, as written by `html_pages.bundle_vega`.
    folder : path
        Directory for ``<name>.vl.json``, ``.svg``, ``.png`` and ``.html``.
    """
    svg = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    html = html_pages.figure_page(name, figure, spec, Path(library).read_text(encoding="utf-8"))
    for ending, content in {"vl.json": json.dumps(spec), "svg": svg, "html": html}.items():
        with atomic_write(Path(folder, f"{name}.{ending}")) as file:
            file.write(content)
    with atomic_write(Path(folder, f"{name}.png"), "wb") as file:
        file.write(vl_convert.svg_to_png(svg, ppi=PIXELS_PER_INCH))
