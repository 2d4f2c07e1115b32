"""Time to accuracy of each regime relative to the control, with intervals: a forest plot."""

import altair as alt
import numpy as np
import pandas as pd

from entr.figures import charts, forest, palette
from entr.figures.charts import field_tooltip, switch, with_title
from entr.figures.figure_data import FigureData, round_numbers, with_intervals
from entr.metrics.epoch_times import TARGET_SHARE
from entr.metrics.labels import ALL
from entr.metrics.published_results import TREATMENTS

TARGET = f"{100 * TARGET_SHARE:.0f} %"
"""Share of the control's final accuracy that has to be reached, as text."""
INTERVALS = ("low", "high", "low_corrected", "high_corrected")
LARGEST_RATIO = 4
"""Ratio beyond which intervals are cut off, because intervals from two or three seeds may have any width."""
REGIME_HEIGHT = 28
"""Height in px of the line of one regime."""
MAX_TICKS = 16
LABEL_WIDTH = 130
"""Space in px for the names of the lines and the numbers of cells."""
AXIS_TITLE = "time to accuracy, change in %"


def plot(data: FigureData) -> charts.Spec:
    """Plot the ratio of the time to accuracy of each regime to that of the control."""
    rows = _effects(data)
    if not len(rows):
        return charts.empty_chart("No time to accuracy to plot yet: no treatment has been compared with the control")
    control = data.design.control
    models = forest.models_in(rows)
    models_switch = switch("models", "lines", models)
    return with_title(
        _panels(data, rows),
        dict.fromkeys(models, title(data)),
        [
            f"until {TARGET} of the last-epoch accuracy of {control}; right: cells that reach it",
            "95 % intervals: thick for these images, thin for new images; hollow: not all cells reach it",
        ],
        f"Training time until {TARGET} of the last-epoch accuracy of {control}, relative to the time of {control}, "
        "with 95 % intervals, one line per dataset and regime.",
        [models_switch],
        conditions=data.conditions(),
    )


def title(data: FigureData) -> str:
    """State after which part of the control's time the regimes that the study is about are as accurate."""
    table = data.tables.get("time_to_accuracy_effects", pd.DataFrame())
    pooled = table[table["scope"] == ALL].set_index("regime") if len(table) else table
    regimes = [regime for regime in data.treatments if regime in TREATMENTS] or data.treatments
    reached, uncertain, missed = [], [], []
    for row in (pooled.loc[regime] for regime in regimes if regime in pooled.index):
        if np.isnan(row["time_ratio"]):
            missed.append(row.name)
        else:
            all_cells = row["reached_cells"] == row["cells"]
            cells = "" if all_cells else f" (in {row['reached_cells']} of {row['cells']} cells)"
            reached.append(f"{row.name} after {100 * row['time_ratio']:.0f} %{cells}")
            if not (row["low"] > 1 or row["high"] < 1):
                uncertain.append(row.name)
    goal = f"{TARGET} of the last-epoch accuracy"
    if reached:
        exceptions = f"; not reached by {' and '.join(missed)}" if missed else ""
        which = "" if len(uncertain) == len(reached) else f": {', '.join(uncertain)}"
        mark = f" (not significant{which})" if uncertain else ""
        return f"{goal}: {', '.join(reached)} of the control's time{mark}{exceptions}"
    return f"{goal}: not reached by {' and '.join(missed)}" if missed else "Time to accuracy"


def _effects(data: FigureData) -> pd.DataFrame:
    """Return the ratios of the treatments, in the order of the lines that show them."""
    table = data.tables.get("time_to_accuracy_effects", pd.DataFrame())
    if not len(table):
        return table
    rows = forest.with_lines(data, table)
    rows = rows.assign(
        all_reach=rows["reached_cells"] == rows["cells"],
        count=rows["reached_cells"].astype(str) + " of " + rows["cells"].astype(str),
        text=[
            "not reached" if np.isnan(ratio) else forest.signed(100 * (ratio - 1)) + " %"
            for ratio in rows["time_ratio"]
        ],
        # where there is no ratio, the text stands on the line of no change
        place=rows["time_ratio"].fillna(1.0),
    )
    for suffix in ("", "_corrected"):
        rows = with_intervals(rows, "place", ".3g", suffix)
    keys = ["line", "scope", "regime", "replicates", "note", "all_reach", "count", "text", "place", "time_ratio"]
    return round_numbers(rows[[*keys, *INTERVALS, "interval", "interval_corrected"]])


def _panels(data: FigureData, rows: pd.DataFrame) -> alt.FacetChart:
    regimes = data.design.regimes
    scales = charts.regime_scales(regimes, legend=False)
    low, high = forest.ratio_limits(rows[["place", *INTERVALS]], LARGEST_RATIO)
    rows = rows.assign(**{f"{name}_shown": rows[name].clip(low, high) for name in INTERVALS})
    axis, scale = forest.ratio_axis(low, high, MAX_TICKS)
    base = alt.Chart().encode(
        y=alt.Y(
            "regime:N",
            sort=data.treatments,
            title=None,
            axis=charts.regime_axis(regimes),
            scale=alt.Scale(padding=0.25),
        )
    )
    x = {name: alt.X(f"{name}:Q", title=AXIS_TITLE, scale=scale, axis=axis) for name in ("place", "low_shown")}
    reached = base.transform_filter("datum.time_ratio !== null").encode(color=scales["color"])
    tooltip = [
        field_tooltip("line", "data"),
        field_tooltip("regime"),
        field_tooltip("text", AXIS_TITLE),
        field_tooltip("interval", "95 % interval, these images (ratio)"),
        field_tooltip("interval_corrected", "95 % interval, new images (ratio)"),
        field_tooltip("count", "cells that reach it"),
        field_tooltip("replicates", "replicates", ".0f"),
        field_tooltip("note"),
    ]
    points = reached.encode(x=x["place"], shape=scales["shape"], tooltip=tooltip)
    numbers = base.encode(x=x["place"], text="text:N")
    # where there is no point, the text takes its place
    text = {"dy": alt.expr("datum.time_ratio === null ? 0 : -10"), "fontSize": 11, "fontWeight": "bold"}
    panel = alt.layer(
        alt.Chart().mark_rule(color=palette.LABEL, strokeDash=[4, 3]).encode(x=alt.datum(1)),
        reached.mark_rule(strokeWidth=1.4).encode(
            x=alt.X("low_corrected_shown:Q", title=AXIS_TITLE), x2="high_corrected_shown:Q"
        ),
        reached.mark_rule(strokeWidth=4.5).encode(x=x["low_shown"], x2="high_shown:Q"),
        points.mark_point(size=70, strokeWidth=2, fill=palette.PAPER, opacity=1),
        points.transform_filter("datum.all_reach").mark_point(filled=True, size=70, opacity=1),
        numbers.mark_text(**text, stroke=palette.PAPER, strokeWidth=3),
        numbers.mark_text(**text, color=charts.regime_text_colour(regimes)),
        base.mark_text(align="left", dx=9, fontSize=charts.LABEL_SIZE, color=palette.MUTED).encode(
            x=alt.value("width"), text="count:N"
        ),
    ).properties(width=charts.panel_width(1) - LABEL_WIDTH, height=REGIME_HEIGHT * len(data.treatments))
    return forest.by_line(panel, rows).transform_filter(forest.MODELS_FILTER)
