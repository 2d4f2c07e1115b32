"""Small multiples: a panel per regime, in which its curve stands out from those of the other regimes.

They replace a panel with the curves of many regimes, which could not be told apart by their colours.
"""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from entr.figures import charts, palette
from entr.figures.charts import field_tooltip, switch, switched_text
from entr.figures.figure_data import FigureData
from entr.figures.label_room import FITS

COLUMNS = 4
"""Panels side by side."""
SPACING = {"column": 16, "row": 14}
"""Gaps between panels in px."""
PANEL_WIDTH = (charts.CHART_WIDTH - (COLUMNS - 1) * SPACING["column"]) // COLUMNS
PANEL_HEIGHT = 125
FILTERED_BY = ("model", "regime", "curve", "kind")
"""Columns of curves by which their rows are filtered."""
FAR = 10_000
"""Place in px of a label after the last one, so that the last one always fits."""
NAME_SIZE = 13
"""Size in px of the name of a regime."""
SCALE_WITH_LABELS = alt.Scale(zero=False, nice=False, padding=17)
"""Vertical scale with room for `size_labels` above the highest point."""
MIN_LABEL_GAP = 26
"""Smallest horizontal distance in px between two labels of a curve."""


def by_regime(
    data: FigureData, rows: pd.DataFrame, layers: Sequence[alt.Chart], curve: alt.Chart | None = None
) -> alt.VConcatChart:
    """Return one panel per dataset and regime; the panels of a dataset have the same axes.

    Parameters
    ----------
    data : FigureData
        The design of the grid.
    rows : DataFrame
        Points of the curves, with the columns ``dataset, model, regime``.
    layers : sequence of chart
        Marks of a regime, without data.
    curve : chart, optional
        A chart with the coordinates and filters of a curve. With it, each panel also shows the curve of the control in
        black and those of the other regimes in grey.
    """
    models = data.names_in(rows, "model")
    colours = json.dumps({name: colour.text for name, colour in palette.regime_colours(data.design.regimes).items()})
    suffix = f", {models[0]}" if len(models) == 1 else ""
    header = alt.Header(
        labelAnchor="start", labelFontSize=NAME_SIZE, labelPadding=5, labelColor=alt.expr(f"{colours}[parent.panel]")
    )
    blocks = []
    for dataset in data.names_in(rows, "dataset"):
        own = rows[rows["dataset"] == dataset]
        behind = _curves_of_all(data, own, curve) if curve else []
        # a column of its own, because Vega-Lite would divide equal data among the panels
        panel = alt.layer(*behind, *layers).properties(
            data=own.assign(panel=own["regime"]), width=PANEL_WIDTH, height=PANEL_HEIGHT
        )
        facet = alt.Facet("panel:N", sort=data.names_in(own, "regime"), title=None, header=header)
        title = charts.panel_title(dataset + suffix)
        blocks.append(panel.facet(facet=facet, columns=COLUMNS, spacing=SPACING, title=title))
    return alt.vconcat(*blocks, spacing=24)


def _curves_of_all(data: FigureData, own: pd.DataFrame, curve: alt.Chart) -> list[alt.Chart]:
    """Return the curves of all regimes and that of the control, which have data of their own in each panel."""
    control = data.design.control
    coordinates = [channel.shorthand.partition(":")[0] for channel in (curve.encoding.x, curve.encoding.y)]
    # only what is needed, because charts embed their data
    own = own[[column for column in own if column in {*FILTERED_BY, *coordinates}]]
    every = curve.properties(data=own).mark_line(strokeWidth=1, color=palette.FRAME)
    layers = [every.encode(detail="regime:N", tooltip=[field_tooltip("regime")])]
    if control in set(own["regime"]):
        colour = palette.regime_colours(data.design.regimes)[control].mark
        of_control = curve.properties(data=own).transform_filter(alt.datum.regime == control)
        layers.append(of_control.mark_line(strokeWidth=1.5, color=colour))
    return layers


def legend(data: FigureData) -> str:
    """Return what the black and the grey curves are, for the subtitle."""
    return f"black: {data.design.control}, grey: the other regimes"


def model_switch(data: FigureData, rows: pd.DataFrame) -> tuple[alt.Parameter, list[str], str | alt.ExprRef]:
    """Return the switch for the model whose curves are shown, its options, and the text for the subtitle."""
    models = data.names_in(rows, "model")
    names = {model: model for model in models}
    selector = switch("model", "model", names)
    # a single model is named above the panels
    return selector, models, switched_text(selector, names) if len(models) > 1 else ""


def colour(data: FigureData) -> alt.Color:
    """Return the colour of each regime."""
    return charts.regime_scales(data.design.regimes, legend=False)["color"]


def size_labels(changes: alt.Chart) -> list[alt.Chart]:
    """Return the labels of size changes above their points, with an outline that keeps them legible on curves.

    Parameters
    ----------
    changes : chart
        A chart of the rows of `thin_out_labels` where the size changes.
    """
    text = {"dy": -10, "fontSize": 11}
    labelled = changes.transform_filter(FITS).encode(text="label:N")
    labels = labelled.encode(color=alt.value(palette.MUTED))
    outline = labelled.encode(color=alt.value(palette.PAPER))
    return [outline.mark_text(**text, stroke=palette.PAPER, strokeWidth=3), labels.mark_text(**text)]


def thin_out_labels(rows: pd.DataFrame, keys: Sequence[str], x: str) -> pd.DataFrame:
    """Remove entries of the column ``label`` for which a panel has no room; the last label of a curve is kept.

    The columns ``needed`` and ``available`` state the distance to the next label in px, see `label_room`.

    Parameters
    ----------
    rows : DataFrame
        Points of the curves in their order.
    keys : sequence of str
        Columns that identify a curve.
    x : str
        Column of the horizontal coordinate.
    """
    extent = rows.groupby([key for key in keys if key != "regime"])[x].transform("max")
    places = PANEL_WIDTH * rows[x] / extent
    gaps: dict[Any, float] = {}
    for _, curve in rows[rows["label"] != ""].groupby(list(keys), sort=False):
        next_place = FAR
        for index in reversed(curve.index):
            gap = next_place - places[index]
            if gap >= MIN_LABEL_GAP:
                gaps[index] = gap
                next_place = places[index]
    available = pd.Series(gaps, dtype=float).reindex(rows.index)
    labels = rows["label"].where(available.notna(), "")
    # an empty label always fits, because Vega warns about layers without any data
    return rows.assign(label=labels, needed=MIN_LABEL_GAP, available=available.fillna(FAR))
