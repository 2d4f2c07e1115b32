"""Changes in time, accuracy and efficiency relative to the control, with intervals: a forest plot."""

from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from entr.figures import charts, forest, palette
from entr.figures.charts import field_tooltip, switch, switch_filter, switched_text, with_title
from entr.figures.figure_data import NO_INTERVAL, FigureData, round_numbers, seed_count, stages_in, with_intervals
from entr.metrics.labels import ALL, PHASE
from entr.metrics.published_results import TREATMENTS


@dataclass(frozen=True)
class Metric:
    """A metric of the forest plot."""

    title: str
    """Title of its axis."""
    unit: str
    """Follows a change in text."""
    is_ratio: bool
    limit: float
    """Changes beyond it are cut off, because intervals from two or three seeds may have any width. A ratio or, for
    differences, percentage points."""


METRICS = {
    "log_time_ratio": Metric("training time T, change in %", " % time", is_ratio=True, limit=4),
    "accuracy_difference": Metric("accuracy A, change in percentage points", " points", is_ratio=False, limit=50),
    "log_efficiency_ratio": Metric("efficiency As, change in %", " % As", is_ratio=True, limit=4),
}
"""The metrics by effect, in the order of the answer."""
REGIME_HEIGHT, NARROW_HEIGHT = 32, 27
"""Height in px of the line of one regime, and of one of many."""
INTERVALS = ("low", "high", "low_corrected", "high_corrected")


def plot(data: FigureData) -> charts.Spec:
    """Plot the changes by dataset and model, and their means."""
    rows = _effects(data)
    if not len(rows):
        return charts.empty_chart("No effects to plot yet: no treatment has been compared with the control")
    time_bases, stages = data.time_bases(rows), stages_in(rows)
    time_switch, stage_switch = switch("time_basis", "T", time_bases), switch("stage", "stage", stages)
    models = forest.models_in(rows)
    models_switch = switch("models", "lines", models)
    panels = [_panel(data, rows[rows["metric"] == name], metric) for name, metric in METRICS.items()]
    titles = {
        (time_basis, stage, lines): _title(data, rows, time_basis, stage)
        for time_basis in time_bases
        for stage in stages
        for lines in models
    }
    # of time, because As is undefined for a seed whose accuracy is 0 at some stage
    timed = rows[(rows["scope"] != ALL) & (rows["metric"] == "log_time_ratio")]
    has_intervals = (rows["interval"] != NO_INTERVAL).any()
    return with_title(
        alt.hconcat(*panels, spacing=16),
        titles,
        [
            switched_text(time_switch, {time_basis: f"T: {words}" for time_basis, words in time_bases.items()}),
            switched_text(stage_switch, stages),
            f"{seed_count(timed, 'replicates')} per dataset"
            + ("; 95 % intervals: thick for these images, thin for new images" if has_intervals else ", no interval"),
        ],
        f"Changes relative to {data.design.control} in time, accuracy and efficiency, with 95 % intervals, one line "
        "per dataset and regime.",
        [time_switch, stage_switch, models_switch],
        conditions=data.conditions(),
    )


def _effects(data: FigureData) -> pd.DataFrame:
    """Return effects as ratios and percentage points, in the order of the lines that show them."""
    table = data.tables.get("effects", pd.DataFrame())
    if not len(table):
        return table
    rows = table[(table["resolution"] == PHASE) & table["metric"].isin(list(METRICS))]
    rows = forest.with_lines(data, rows)
    values = ["mean", *INTERVALS]
    is_ratio = rows["metric"].map({name: metric.is_ratio for name, metric in METRICS.items()})
    with np.errstate(over="ignore"):
        for value in values:
            rows[value] = np.where(is_ratio, np.exp(rows[value].where(is_ratio)), 100 * rows[value])
    for suffix in ("", "_corrected"):
        rows = with_intervals(rows, "mean", ".4g", suffix)
    rows["text"] = [_change(name, mean) for name, mean in zip(rows["metric"], rows["mean"], strict=True)]
    keys = ["line", "scope", "regime", "stage", "time_basis", "metric", "replicates", "note", "text"]
    return round_numbers(rows[[*keys, *values, "interval", "interval_corrected"]])


def _change(name: str, mean: float) -> str:
    """Return a change in percent or percentage points, with its sign."""
    return forest.signed(100 * (mean - 1) if METRICS[name].is_ratio else mean)


def _panel(data: FigureData, rows: pd.DataFrame, metric: Metric) -> alt.FacetChart:
    is_first = metric is next(iter(METRICS.values()))
    treatments = data.treatments
    scales = charts.regime_scales(data.design.regimes, legend=False)
    low, high = _domain(rows, metric)
    for name in INTERVALS:
        rows[f"{name}_shown"] = rows[name].clip(low, high)
    no_effect = 1 if metric.is_ratio else 0
    if metric.is_ratio:
        axis, scale = forest.ratio_axis(low, high)
    else:
        label = "datum.value === 0 ? '0' : format(datum.value, '+.3~g')"
        axis = alt.Axis(labelExpr=label, grid=True, tickCount=5)
        scale = alt.Scale(domain=[low, high], nice=False)
    base = alt.Chart().encode(
        y=alt.Y(
            "regime:N",
            sort=treatments,
            title=None,
            axis=charts.regime_axis(data.design.regimes, labels=is_first),
            scale=alt.Scale(padding=0.25),
        )
    )
    x = {name: alt.X(f"{name}:Q", title=metric.title, scale=scale, axis=axis) for name in ("mean", "low_shown")}
    corrected = alt.X("low_corrected_shown:Q", title=metric.title)
    coloured = base.encode(color=scales["color"])
    tooltip = [
        field_tooltip("line", "data"),
        field_tooltip("regime"),
        field_tooltip("text", metric.title),
        field_tooltip("interval", f"95 % interval, these images{' (ratio)' if metric.is_ratio else ''}"),
        field_tooltip("interval_corrected", f"95 % interval, new images{' (ratio)' if metric.is_ratio else ''}"),
        field_tooltip("replicates", "replicates", ".0f"),
        field_tooltip("note"),
    ]
    reference = alt.Chart().mark_rule(color=palette.LABEL, strokeDash=[4, 3]).encode(x=alt.datum(no_effect))
    numbers = base.encode(x=x["mean"], text="text:N")
    text = {"dy": -10, "fontSize": 11, "fontWeight": "bold"}
    height = NARROW_HEIGHT if data.has_many_regimes else REGIME_HEIGHT
    panel = alt.layer(
        reference,
        coloured.mark_rule(strokeWidth=1.4).encode(x=corrected, x2="high_corrected_shown:Q"),
        coloured.mark_rule(strokeWidth=4.5).encode(x=x["low_shown"], x2="high_shown:Q"),
        coloured.mark_point(filled=True, size=70, opacity=1).encode(
            x=x["mean"], shape=scales["shape"], tooltip=tooltip
        ),
        # the outline keeps the number legible on the line of no change
        numbers.mark_text(**text, stroke=palette.PAPER, strokeWidth=3),
        numbers.mark_text(**text, color=charts.regime_text_colour(data.design.regimes)),
    ).properties(width=charts.panel_width(len(METRICS)), height=height * len(treatments))
    return forest.by_line(panel, rows, labels=is_first).transform_filter(
        f"{switch_filter('time_basis', 'stage')} && {forest.MODELS_FILTER}"
    )


def _domain(rows: pd.DataFrame, metric: Metric) -> tuple[float, float]:
    """Return the limits of an axis: all intervals up to the limit of the metric, and all means."""
    values = rows[["mean", *INTERVALS]]
    return forest.ratio_limits(values, metric.limit) if metric.is_ratio else forest.limits(values, metric.limit)


def _title(data: FigureData, rows: pd.DataFrame, time_basis: str, stage: str) -> str:
    """State the mean changes over all datasets of the regimes that the study is about."""
    scope = ALL if (rows["scope"] == ALL).any() else "dataset"
    own = rows[(rows["scope"] == scope) & (rows["time_basis"] == time_basis) & (rows["stage"] == stage)]
    texts = []
    named = [regime for regime in data.treatments if regime in TREATMENTS]
    for regime in named or ([] if data.has_many_regimes else data.treatments):
        changes = own[own["regime"] == regime].set_index("metric")["text"]
        if len(changes):
            units = [f"{changes[name]}{metric.unit}" for name, metric in METRICS.items() if name in changes]
            texts.append(f"{regime} {', '.join(units)}")
    control = data.design.control
    return f"Relative to {control}: {'; '.join(texts)}" if texts else f"Changes relative to {control}"
