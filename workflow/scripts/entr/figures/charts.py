"""The common look of all figures, their switches and titles, and the files that each is saved in.

Files have a solid light background, so that they look the same in print and in a README. Pages show the title as
text outside the chart, replace the colours in dark mode and adapt the width of the panels to the screen.
"""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from entr.figures import html_pages, palette
from entr.jobs.files import atomic_write

Spec = dict[str, Any]
"""A chart in the JSON format of Vega-Lite."""

PIXELS_PER_INCH = 160
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
LAYER_GROUPS = ("head", "late", "early")
DASHES = ([1, 0], [6, 3], [2, 2])
"""Line patterns of the layer groups."""

CHART_WIDTH = 880
"""Width in px that the panels of a row share; with axes and labels, a chart is about as wide as the page's column."""
MIN_PANEL_WIDTH = 150
"""Smallest width of a panel in px."""
TITLE_LINE = 125
"""Letters per line of a title."""
PANEL_TITLE_SIZE = 14
LABEL_SIZE = 12
"""Size in px of labels in a chart."""
STYLE = alt.Config(
    font="system-ui, Helvetica, Arial, sans-serif",
    background=palette.PAPER,
    padding=10,
    title=alt.TitleConfig(
        fontSize=16, color=palette.INK, subtitleFontSize=12.5, subtitleColor=palette.MUTED, subtitlePadding=6
    ),
    header=alt.HeaderConfig(labelFontSize=13, labelFontWeight="bold", labelColor=palette.INK),
    axis=alt.AxisConfig(
        labelFontSize=LABEL_SIZE,
        labelColor=palette.LABEL,
        titleFontSize=12.5,
        titleFontWeight="normal",
        titleColor=palette.LABEL,
        gridColor=palette.GRID,
        domainColor=palette.AXIS,
        tickColor=palette.AXIS,
    ),
    legend=alt.LegendConfig(
        labelFontSize=12.5,
        labelColor=palette.INK,
        titleFontSize=12.5,
        titleColor=palette.LABEL,
        symbolSize=110,
        symbolOpacity=1,
        orient="top",
        columns=8,
        labelLimit=260,
    ),
    text=alt.MarkConfig(color=palette.INK),
    view=alt.ViewConfig(stroke=palette.FRAME),
)


def panel_width(panels: int) -> int:
    """Return the width in px of each of several panels side by side."""
    return max(MIN_PANEL_WIDTH, CHART_WIDTH // panels)


def panel_title(text: str) -> alt.TitleParams:
    """Return the title of one panel of a figure."""
    return alt.TitleParams(text, fontSize=PANEL_TITLE_SIZE, anchor="start")


def regime_scales(regimes: Sequence[str], *, legend: bool = True) -> dict[str, alt.Color | alt.Shape]:
    """Return the colour and the shape of each regime, with one legend for both or, with direct labels, none."""
    colours = [colour.mark for colour in palette.regime_colours(regimes).values()]
    shapes = list(palette.regime_shapes(regimes).values())
    domain = list(regimes)
    hidden: dict[str, Any] = {} if legend else {"legend": None}
    return {
        "color": alt.Color("regime:N", title=None, scale=alt.Scale(domain=domain, range=colours), **hidden),
        "shape": alt.Shape("regime:N", title=None, scale=alt.Scale(domain=domain, range=shapes), **hidden),
    }


def regime_text_colour(regimes: Sequence[str]) -> alt.ExprRef:
    """Return the expression for the colour of text about the regime of a row."""
    return alt.expr(f"{_text_colours(regimes)}[datum.regime]")


def regime_axis(regimes: Sequence[str], *, labels: bool = True) -> alt.Axis:
    """Return an axis whose labels are regimes in their colours.

    Parameters
    ----------
    regimes : sequence of str
        The regimes of the grid.
    labels : bool
        Whether they are shown; not in panels that share the labels of a panel to the left. Narrow pages, which stack
        the panels, show them anyway.
    """
    colour = alt.expr(f"{_text_colours(regimes)}[datum.value]")
    return alt.Axis(labels=labels, labelColor=colour, labelLimit=140, ticks=False, domain=False)


def _text_colours(regimes: Sequence[str]) -> str:
    return json.dumps({regime: colour.text for regime, colour in palette.regime_colours(regimes).items()})


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
        Label of each value; the first value is selected initially, and in print. A list of one value is not shown.
    """
    bind = alt.binding_select(options=list(options), labels=list(options.values()), name=f"{label}: ")
    choice = {"bind": bind} if len(options) > 1 else {}
    return alt.param(name=f"chosen_{column}", value=next(iter(options), ""), **choice)


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
    by_values = {_joined(key): text for key, text in texts.items()}
    selected = " + '|' + ".join(one.name for one in switches)
    return alt.ExprRef(f"{json.dumps(by_values)}[{selected}]")


def with_title(
    chart: alt.TopLevelMixin,
    title: str | Mapping[Any, str],
    subtitle: Iterable[str | alt.ExprRef],
    about: str,
    switches: Sequence[alt.Parameter] = (),
    conditions: str = "",
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
        What is needed to read the chart, one item per line; empty ones are left out. Pages omit expressions, because
        the drop-down lists show the same.
    about : str
        What is drawn. Together with the title, it is the alternative text.
    switches : sequence of parameter
        The switches of the chart.
    conditions : str
        The last line of the subtitle, which pages omit because they state it once.

    Returns
    -------
    dict
        The specification. Its ``usermeta`` contains the texts that a page shows outside the chart: ``titles`` by the
        values of the ``switches`` joined by ``|``, and ``notes``.
    """
    titles = {"": title} if isinstance(title, str) else title
    wrapped = {key: _wrap(text) for key, text in titles.items()}
    lines = [line for line in subtitle if line]
    parameters = {"params": [one.param for one in switches]} if switches else {}
    chart = chart.properties(
        title=alt.TitleParams(_switched(switches, wrapped), anchor="start", offset=14),
        description=" ".join([f"{next(iter(titles.values()))}.", about]).strip(),
        config=STYLE,
        **parameters,
        usermeta={
            "titles": {_joined(key): _protect(text) for key, text in titles.items()},
            "switches": [one.name for one in switches],
            "notes": [line for line in lines if isinstance(line, str)],
        },
    )
    with alt.data_transformers.enable("default", max_rows=None):
        spec = chart.to_dict()
    # Vega-Lite accepts an expression for the subtitle, but the schema against which Altair validates does not.
    expressions = [_expression(line) for line in [*lines, conditions] if line]
    spec["title"]["subtitle"] = {"expr": f"[{', '.join(expressions)}]"}
    return spec


def with_fixed_width(spec: Spec) -> Spec:
    """Return a chart whose panels pages neither widen nor narrow, because they contain images or squares."""
    return spec | {"usermeta": spec["usermeta"] | {"resizable": False}}


def _joined(key: Any) -> str:  # noqa: ANN401  a value or a tuple of values
    return key if isinstance(key, str) else "|".join(key)


def _wrap(title: str) -> list[str]:
    """Return the lines of a title; a number stays in one line with its name and its unit."""
    lines = textwrap.wrap(_protect(title), TITLE_LINE, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _protect(title: str) -> str:
    """Return a title with no-break spaces between a number, its name and its unit."""
    return re.sub(
        r"(?<![,;:]) (?=[−+]?[0-9])|(?<=[0-9]) (?=%|px|points?)|(?<=%) (?=As|time)", "\N{NO-BREAK SPACE}", title
    )


def _expression(line: str | alt.ExprRef) -> str:
    return line.expr if isinstance(line, alt.ExprRef) else json.dumps(line)


def empty_chart(reason: str) -> Spec:
    """Return a chart that states why there is nothing to draw."""
    chart = (
        alt.Chart(alt.InlineData([{"reason": reason}]))
        .mark_text(fontSize=13, color=palette.MUTED)
        .encode(text="reason:N")
    )
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
