"""Accuracy against time, with the Pareto front and how often the bootstrap finds each regime on it."""

from collections.abc import Iterator

import altair as alt
import numpy as np
import pandas as pd

from entr.figures import charts, palette, panels
from entr.figures.charts import field_tooltip, group_tooltip, switch, switch_filter, switched_text, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, round_numbers, seed_count, stages_in, with_intervals
from entr.metrics.labels import ALL, PHASE, describe_share

MAX_COLUMNS = 2
"""Panels side by side."""
PANEL_HEIGHT = 290
LABEL_WIDTH = 165
"""Space in px for the labels to the right of a panel."""
LABEL_DISTANCE = 15
"""Smallest vertical distance in px between labels."""
PADDING = 14
"""Distance in px of the outermost marks from the frame."""
MARK_SIZES = (45, 170)
"""Area in px² of a regime that is never on the front, and of one that always is."""
KEY_SIZE = 60
"""Area in px² of the mark that precedes a label."""
KEY_SPACE = 18
"""Distance in px of a label from the frame; the mark is halfway."""
MAX_NAMED = 2
"""Regimes that the title names if there are many."""
LIKELY = 0.5
"""Share of draws from which on the title names a regime."""


def plot(data: FigureData) -> charts.Spec:
    """Plot accuracy against *T* with the Pareto front of the regimes, pooled and for each dataset and model."""
    means = _means(data)
    if not len(means):
        return charts.empty_chart("No accuracy and time to plot yet: fewer than two regimes are finished")
    seeds = _seeds(data, means)
    time_bases, stages = data.time_bases(means), stages_in(means)
    time_switch, stage_switch = switch("time_basis", "T", time_bases), switch("stage", "stage", stages)
    titles = {
        (time_basis, stage): _title(data, means[(means["time_basis"] == time_basis) & (means["stage"] == stage)])
        for time_basis in time_bases
        for stage in stages
    }
    names = list(dict.fromkeys(means["panel"]))
    columns = min(MAX_COLUMNS, len(names))
    panels_ = [_panel(data, means[means["panel"] == name], seeds[seeds["panel"] == name], columns) for name in names]
    has_shares = means["front_share"].notna().any()
    percent = "; percent: share of bootstrap draws in which a regime is on it" if has_shares else ""
    return with_title(
        alt.concat(*panels_, columns=columns),
        titles,
        [
            switched_text(time_switch, {time_basis: f"T: {words}" for time_basis, words in time_bases.items()}),
            switched_text(stage_switch, stages),
            f"{seed_count(means[means['scope'] == 'block'], 'replicates')}; grey line: Pareto front{percent}",
        ],
        "Mean accuracy against mean time of each regime, one panel per dataset and model, and one for their mean.",
        [time_switch, stage_switch],
        conditions=data.conditions(),
    )


def _means(data: FigureData) -> pd.DataFrame:
    """Return the means of the regimes by panel, with their labels; accuracies are in percent or points."""
    table = data.tables.get("pareto_front", pd.DataFrame())
    if not len(table):
        return table
    table = table[(table["resolution"] == PHASE) & table["regime"].isin(data.design.regimes)]
    parts = list(_panels(data, table))
    if not parts:
        return pd.DataFrame()
    means = pd.concat(parts, ignore_index=True)
    shares = means["front_share"]
    texts = ["" if np.isnan(share) else describe_share(share) for share in shares]
    labels = [f"{regime} {text}".rstrip() for regime, text in zip(means["regime"], texts, strict=True)]
    means = means.assign(label=labels, share=texts, mark_share=shares.fillna(means["on_front"].astype(float)))
    for name, scale, number in (("accuracy", 100, ".1f"), ("time", 1, ".3g")):
        limits = {f"{side}_{name}": scale * means[f"{name}_{side}"] for side in ("low", "high")}
        means = means.assign(**{name: scale * means[name]}, **limits)
        means = with_intervals(means, name, number, f"_{name}")
    return round_numbers(_with_label_places(means))


def _panels(data: FigureData, table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the rows of each panel: the mean of several datasets or models first, then each dataset and model."""
    blocks = [
        (dataset, title, model)
        for dataset, title in data.titles.items()
        for model in data.design.models
        if ((table["scope"] == "block") & (table["dataset"] == dataset) & (table["model"] == model)).any()
    ]
    if len(blocks) > 1:
        several = len(data.titles) > 1
        subject = "all datasets" if several else next(iter(data.titles.values()))
        of_models = ", mean over models" if len(data.design.models) > 1 else ""
        pooled = table[table["scope"] == (ALL if several else "dataset")]
        if len(pooled):
            yield pooled.assign(panel=f"{subject}{of_models}, relative to {data.design.control}")
    for dataset, title, model in blocks:
        rows = table[(table["scope"] == "block") & (table["dataset"] == dataset) & (table["model"] == model)]
        yield rows.assign(panel=f"{title}, {model}", dataset=title)


def _seeds(data: FigureData, means: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy in percent and time of each seed, for the panels of a dataset and model."""
    accuracy = data.rows("metrics", metric="accuracy", resolution=PHASE)
    time = data.rows("metrics", metric="time", resolution=PHASE)
    keys = [*CELL_GROUP, "stage", "seed"]
    if not len(accuracy) or not len(time):
        return pd.DataFrame(columns=["panel"])
    time = time[[*keys, "time_basis", "value"]].rename(columns={"value": "time"})
    seeds = time.merge(accuracy[[*keys, "value"]].rename(columns={"value": "accuracy"}), on=keys)
    names = means.loc[means["scope"] == "block", [*CELL_GROUP, "stage", "time_basis", "panel"]]
    seeds["accuracy"] *= 100
    return round_numbers(seeds.merge(names, on=[*CELL_GROUP, "stage", "time_basis"]))


def _with_label_places(means: pd.DataFrame) -> pd.DataFrame:
    """Add the height of each label: that of its point, moved so that labels do not overlap."""
    places = pd.Series(np.nan, means.index)
    for _, rows in means.groupby(["panel", "stage", "time_basis"]):
        low, high = rows["low_accuracy"].min(), rows["high_accuracy"].max()
        ordered = rows["accuracy"].sort_values()
        distance = LABEL_DISTANCE / (PANEL_HEIGHT - 2 * PADDING) * (high - low)
        places[ordered.index] = panels.spread(ordered.to_numpy(dtype=float), distance, high)
    return means.assign(label_place=places)


def _title(data: FigureData, rows: pd.DataFrame) -> str:
    """Name the regimes that are probably on the front of the first panel."""
    names = list(dict.fromkeys(rows["panel"]))
    if not names:
        return "Accuracy against time"
    first = rows[rows["panel"] == names[0]]
    likely = first[first["mark_share"] >= LIKELY].sort_values("mark_share", ascending=False, kind="stable")
    how = "On the Pareto front in most bootstrap draws" if first["front_share"].notna().any() else "Pareto front"
    factors = {"datasets": data.titles, "models": data.design.models}
    several = " and ".join(factor for factor, levels in factors.items() if len(levels) > 1)
    where = f" over all {several}" if first["scope"].iloc[0] != "block" else ""
    labels = list(likely["label"])
    if data.has_many_regimes and len(labels) > MAX_NAMED:
        labels[MAX_NAMED:] = [f"and {len(labels) - MAX_NAMED} more"]
    return f"{how}{where}: {', '.join(labels)}"


def _panel(data: FigureData, means: pd.DataFrame, seeds: pd.DataFrame, columns: int) -> alt.LayerChart:
    is_relative = means["scope"].iloc[0] != "block"
    regimes = data.design.regimes
    scales = charts.regime_scales(regimes, legend=False)
    x_title = "ratio of T" if is_relative else "T, s"
    y_title = "difference in A, points" if is_relative else "accuracy A, %"
    scale, axis = alt.Scale(zero=False, nice=True, padding=PADDING), alt.Axis(tickCount=5)
    x = alt.X("time:Q", title=x_title, scale=scale, axis=axis)
    y = alt.Y("accuracy:Q", title=y_title, scale=scale, axis=axis)
    values = [field_tooltip("time", x_title, ".4~g"), field_tooltip("accuracy", y_title, ".1f")]

    def chart(rows: pd.DataFrame) -> alt.Chart:
        return alt.Chart(rows).transform_filter(switch_filter("time_basis", "stage")).encode(x=x, y=y)

    base = chart(means)
    intervals = base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(color=scales["color"])
    tooltip = [
        *group_tooltip(),
        *values,
        field_tooltip("interval_time", f"95 % interval of {x_title}"),
        field_tooltip("interval_accuracy", f"95 % interval of {y_title}"),
        field_tooltip("share", "on the front"),
        field_tooltip("replicates", "replicates", ".0f"),
        field_tooltip("note"),
    ]
    front = base.transform_filter("datum.on_front").mark_line(
        interpolate="step-after", color=palette.GUIDE, strokeWidth=3
    )
    points = base.mark_point(strokeWidth=2, fill=palette.PAPER, opacity=1)
    size = alt.Size("mark_share:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=list(MARK_SIZES)))
    right = base.encode(x=alt.value("width"), y=alt.Y("label_place:Q", title=y_title))
    key = right.mark_point(strokeWidth=2, fill=palette.PAPER, opacity=1, size=KEY_SIZE, xOffset=KEY_SPACE / 2)
    label = {"align": "left", "dx": KEY_SPACE, "fontSize": charts.LABEL_SIZE}
    layers = [
        base.mark_rule(opacity=0.3).encode(x2=alt.value("width"), y2="label_place:Q", color=scales["color"]),
        front.encode(order="time:Q"),
        intervals.encode(x=alt.X("low_time:Q", title=x_title), x2="high_time:Q"),
        intervals.encode(y=alt.Y("low_accuracy:Q", title=y_title), y2="high_accuracy:Q"),
        points.encode(tooltip=tooltip, size=size, **scales),
        key.encode(**scales),
        right.mark_text(**label, color=charts.regime_text_colour(regimes)).encode(text="label:N"),
    ]
    if len(seeds):
        small = chart(seeds).mark_point(filled=True, size=14, opacity=0.35)
        layers.insert(2, small.encode(tooltip=[*group_tooltip(), field_tooltip("seed"), *values], **scales))
    width = charts.panel_width(columns) - LABEL_WIDTH
    title = charts.panel_title(means["panel"].iloc[0])
    return alt.layer(*layers).properties(width=width, height=PANEL_HEIGHT, title=title)
