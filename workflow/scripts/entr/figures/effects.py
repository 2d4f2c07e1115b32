"""Effects of the regimes relative to the control, with intervals: a forest plot."""

import altair as alt
import numpy as np
import pandas as pd

from entr.figures import charts
from entr.figures.charts import field_tooltip, switch, switch_filter, switched_text, with_title
from entr.figures.figure_data import NO_INTERVAL, FigureData, round_numbers, seed_count, stages_in, with_intervals
from entr.metrics.labels import ALL, EFFECTS, PHASE

ABSOLUTE = "accuracy_difference"
"""The effect that is a difference; the others are logarithms of ratios."""
MEAN_OF_ALL = "mean of all"
REGIME_DISTANCE = 14
"""Distance in px between two regimes in a line."""
LINE_GAP = 6
"""Gap in px between two lines."""


def plot(data: FigureData) -> charts.Spec:
    """Plot the effects on efficiency, time and accuracy by dataset and model, and their means."""
    rows = _effects(data)
    if not len(rows):
        return charts.empty_chart("No effects to plot yet: no treatment has been compared with the control")
    time_bases, stages = data.time_bases(rows), stages_in(rows)
    time_switch, stage_switch = switch("time_basis", "T", time_bases), switch("stage", "stage", stages)
    lines = list(dict.fromkeys(rows["line"]))
    first, *others = EFFECTS
    columns = [
        _panel(data, rows[rows["metric"] == first], first, lines, _line_axis()),
        *(_panel(data, rows[rows["metric"] == metric], metric, lines, _unlabelled_axis()) for metric in others),
    ]
    seeds = _seeds_per_line(rows)
    return with_title(
        alt.hconcat(*columns, spacing=12),
        {(time_basis, stage): _title(data, rows, time_basis, stage) for time_basis in time_bases for stage in stages},
        [
            switched_text(time_switch, {time_basis: f"T: {words}" for time_basis, words in time_bases.items()}),
            switched_text(stage_switch, {stage: f"{words}; {seeds}" for stage, words in stages.items()}),
            data.conditions(),
        ],
        "Effects with intervals, one line per dataset and model and one per mean over them.",
        [time_switch, stage_switch],
    )


def _effects(data: FigureData) -> pd.DataFrame:
    """Return effects as ratios and percentage points, in the order of the lines that show them."""
    table = data.tables.get("effects", pd.DataFrame())
    if not len(table):
        return table
    rows = table[
        (table["resolution"] == PHASE)
        & table["regime"].isin(data.treatments)
        & table["metric"].isin(list(EFFECTS))
        & table["dataset"].isin([*data.titles, ALL])
        & table["model"].isin([*data.design.models, ALL])
    ]
    if len(data.titles) == 1:
        rows = rows[rows["scope"] != ALL]
    # a dataset's models come before their mean, and the datasets before the mean of all
    order = {
        "dataset": {name: rank for rank, name in enumerate([*data.titles, ALL])},
        "model": {name: rank for rank, name in enumerate([*data.design.models, ALL])},
    }
    rows = rows.assign(
        line=[_line(data, *key) for key in zip(rows["scope"], rows["dataset"], rows["model"], strict=True)]
    ).sort_values(["dataset", "model"], kind="stable", key=lambda names: names.map(order[names.name]))
    values = ["mean", "low", "high", "low_corrected", "high_corrected"]
    is_ratio = rows["metric"] != ABSOLUTE
    for value in values:
        rows[value] = np.where(is_ratio, np.exp(rows[value].where(is_ratio)), 100 * rows[value])
    rows["p"] = ["not available" if np.isnan(p) else f"{p:.2g}" for p in rows["p_holm"]]
    for suffix in ("", "_corrected"):
        rows = with_intervals(rows, "mean", ".4g", suffix)
    keys = ["line", "scope", "regime", "stage", "time_basis", "metric", "replicates", "note"]
    return round_numbers(rows[[*keys, *values, "p", "interval", "interval_corrected"]])


def _line(data: FigureData, scope: str, dataset: str, model: str) -> str:
    if scope == ALL:
        return MEAN_OF_ALL
    return f"{data.titles[dataset]}, {'mean' if scope == 'dataset' else model}"


def _line_axis() -> alt.Axis:
    return alt.Axis(labelLimit=220, grid=True, tickSize=0)


def _unlabelled_axis() -> alt.Axis:
    return alt.Axis(labels=False, ticks=False, grid=True)


def _panel(data: FigureData, rows: pd.DataFrame, metric: str, lines: list[str], axis: alt.Axis) -> alt.LayerChart:
    title = EFFECTS[metric]
    is_ratio = metric != ABSOLUTE
    number, no_effect = (".3f", 1) if is_ratio else ("+.2f", 0)
    scale_type = {"type": "log"} if is_ratio else {"zero": False}
    scale = alt.Scale(nice=False, padding=10, **scale_type)
    treatments = data.treatments
    scales = charts.regime_scales(data.design.regimes)
    scales["color"].legend = scales["shape"].legend = alt.Legend(values=treatments)
    base = (
        alt.Chart(rows)
        .transform_filter(switch_filter("time_basis", "stage"))
        .encode(
            y=alt.Y("line:N", sort=lines, title=None, axis=axis, scale=alt.Scale(paddingInner=0.35)),
            yOffset=alt.YOffset("regime:N", sort=treatments, scale=alt.Scale(domain=treatments)),
            color=scales["color"],
        )
    )
    tooltip = [
        field_tooltip("line"),
        field_tooltip("regime"),
        field_tooltip("mean", title, number),
        field_tooltip("interval", "95 % interval, new seeds"),
        field_tooltip("interval_corrected", "95 % interval, new images"),
        field_tooltip("replicates", "replicates", ".0f"),
        field_tooltip("p", "p (Holm)"),
        field_tooltip("note"),
    ]
    reference = alt.Chart(alt.InlineData([{"no_effect": no_effect}])).mark_rule(color="#555555", strokeDash=[4, 3])
    return alt.layer(
        reference.encode(x=alt.X("no_effect:Q", title=title)),
        base.mark_rule(strokeWidth=1.2).encode(
            x=alt.X("low_corrected:Q", title=title, scale=scale), x2="high_corrected:Q"
        ),
        base.mark_rule(strokeWidth=3.5).encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(
            x=alt.X("mean:Q", title=title, scale=scale, axis=alt.Axis(tickCount=4)),
            shape=scales["shape"],
            tooltip=tooltip,
        ),
    ).properties(
        width=charts.panel_width(len(EFFECTS)), height=len(lines) * (REGIME_DISTANCE * len(treatments) + LINE_GAP)
    )


def _title(data: FigureData, rows: pd.DataFrame, time_basis: str, stage: str) -> str:
    """State in how many datasets and models the efficiency exceeds the control's."""
    ratios = rows[
        (rows["metric"] == "log_efficiency_ratio")
        & (rows["scope"] == "block")
        & (rows["time_basis"] == time_basis)
        & (rows["stage"] == stage)
    ]
    counts = []
    for regime in data.treatments:
        own = ratios[ratios["regime"] == regime]
        if len(own):
            with_interval = own[own["interval"] != NO_INTERVAL]
            significant = int((with_interval["low_corrected"] > 1).sum())
            intervals = f" (interval above 1 in {significant})" if len(with_interval) else ""
            counts.append(f"{regime} in {(own['mean'] > 1).sum()} of {len(own)}{intervals}")
    if not counts:
        return f"Effects relative to {data.design.control}"
    return f"Efficiency As above that of {data.design.control}: {', '.join(counts)}"


def _seeds_per_line(rows: pd.DataFrame) -> str:
    blocks = rows[rows["scope"] == "block"]
    seeds = seed_count(blocks, "replicates")
    return f"{seeds}, no interval" if (blocks["interval"] == NO_INTERVAL).all() else f"{seeds} per line"
