"""Accuracy against time, with the Pareto front."""

import altair as alt
import pandas as pd

from entr.figures import charts, palette
from entr.figures.charts import field_tooltip, group_tooltip, switch, switch_filter, switched_text, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, round_numbers, seed_count, stages_in
from entr.metrics.labels import PHASE

MAX_COLUMNS = 2
"""Panels side by side."""


def plot(data: FigureData) -> charts.Spec:
    """Plot accuracy against *T* with the Pareto front, for each dataset."""
    rows = _accuracy_and_time(data)
    if not len(rows):
        return charts.empty_chart("No accuracy and time to plot yet: no cell is finished")
    time_bases, stages = data.time_bases(rows), stages_in(rows)
    time_switch, stage_switch = switch("time_basis", "T", time_bases), switch("stage", "stage", stages)
    titles = {
        (time_basis, stage): _title(data, rows[(rows["time_basis"] == time_basis) & (rows["stage"] == stage)])
        for time_basis in time_bases
        for stage in stages
    }
    seeds = seed_count(rows[rows["kind"] == "mean"])
    datasets = data.names_in(rows, "dataset")
    columns = min(MAX_COLUMNS, len(datasets))
    panels = [_panel(data, rows[rows["dataset"] == dataset], dataset, columns) for dataset in datasets]
    return with_title(
        alt.concat(*panels, columns=columns),
        titles,
        [
            switched_text(time_switch, {time_basis: f"T: {words}" for time_basis, words in time_bases.items()}),
            switched_text(stage_switch, stages),
            f"{seeds}; grey line: Pareto front",
        ],
        "Mean accuracy against mean time of each model and regime, one panel per dataset.",
        [time_switch, stage_switch],
        conditions=data.conditions(),
    )


def _accuracy_and_time(data: FigureData) -> pd.DataFrame:
    """Return accuracy and time of seeds and of their means, and which means are on the front."""
    seeds = _merge(data, "metrics", ["seed"], ["value"])
    means = _merge(data, "summary", ["n"], ["mean", "low", "high"])
    if not len(seeds) or not len(means):
        return pd.DataFrame()
    seeds = seeds.rename(columns={"time_value": "time", "accuracy_value": "accuracy"}).assign(kind="seed")
    means = means.rename(columns={"time_mean": "time", "accuracy_mean": "accuracy"}).assign(kind="mean")
    on_front = pd.Series(False, index=means.index)
    for _, group in means.groupby(["dataset", "stage", "time_basis"]):
        on_front[group.index] = undominated(group["time"], group["accuracy"])
    # each model is labelled once, next to the slowest of its regimes
    slowest = means.groupby(["dataset", "stage", "time_basis", "model"])["time"].transform("max") == means["time"]
    means = means.assign(front=on_front, label=means["model"].where(slowest, ""))
    # a missing interval is drawn as a point, because Vega warns about marks without any data
    for limit in ("low", "high"):
        for name in ("time", "accuracy"):
            means[f"{name}_{limit}"] = means[f"{name}_{limit}"].fillna(means[name])
    return round_numbers(pd.concat([seeds, means], ignore_index=True))


def _merge(data: FigureData, table: str, keys: list[str], values: list[str]) -> pd.DataFrame:
    """Return accuracy and time of a table side by side, in columns such as ``time_mean``."""
    keys = [*CELL_GROUP, "stage", *keys]
    accuracy = data.rows(table, metric="accuracy", resolution=PHASE)
    time = data.rows(table, metric="time", resolution=PHASE)
    if not len(accuracy) or not len(time):
        return pd.DataFrame()
    accuracy = accuracy[[*keys, *values]].rename(columns={value: f"accuracy_{value}" for value in values})
    time = time[[*keys, "time_basis", *values]].rename(columns={value: f"time_{value}" for value in values})
    return time.merge(accuracy, on=keys)


def undominated(time: pd.Series, accuracy: pd.Series) -> list[bool]:
    """Return which points no other point dominates: as good in time and accuracy, and better in one of them."""
    points = list(zip(time, accuracy, strict=True))

    def is_dominated(t: float, a: float) -> bool:
        return any(u <= t and b >= a and (u, b) != (t, a) for u, b in points)

    return [not is_dominated(t, a) for t, a in points]


def _title(data: FigureData, rows: pd.DataFrame) -> str:
    means = rows[rows["kind"] == "mean"]
    on_front = means.loc[means["front"].astype(bool), "regime"]
    counts = on_front.value_counts()
    points = ", ".join(f"{regime} {counts[regime]}" for regime in data.design.regimes if regime in counts)
    if not points:
        return "Accuracy against time"
    return f"Pareto front of accuracy and time: {points} of {len(means)} points"


def _panel(data: FigureData, rows: pd.DataFrame, title: str, columns: int) -> alt.LayerChart:
    base = (
        alt.Chart(rows)
        .transform_filter(switch_filter("time_basis", "stage"))
        .encode(
            x=alt.X(
                "time:Q",
                title="T, s",
                scale=alt.Scale(zero=False, nice=True, padding=14),
                axis=alt.Axis(tickCount=5),
            ),
            y=alt.Y(
                "accuracy:Q",
                title="accuracy A",
                scale=alt.Scale(zero=False, nice=True, padding=12),
                axis=alt.Axis(format=".3~p", tickCount=5),
            ),
        )
    )
    regimes = data.design.regimes
    one_model = len(data.names_in(rows, "model")) == 1
    scales = charts.regime_scales(regimes, legend=not one_model)
    seeds = base.transform_filter("datum.kind === 'seed'")
    means = base.transform_filter("datum.kind === 'mean'")
    intervals = means.mark_rule(strokeWidth=1.5)
    values = [field_tooltip("time", "T, s", ".4~g"), field_tooltip("accuracy", "accuracy A", ".1%")]
    seed_tooltip = [*group_tooltip(), field_tooltip("seed"), *values]
    mean_tooltip = [*group_tooltip(), *values, field_tooltip("n", "seeds", ".0f")]
    return alt.layer(
        means.transform_filter("datum.front")
        .mark_line(interpolate="step-after", color=palette.GUIDE, strokeWidth=3)
        .encode(order="time:Q"),
        seeds.mark_point(filled=True, size=18, opacity=0.35).encode(tooltip=seed_tooltip, **scales),
        intervals.encode(x="time_low:Q", x2="time_high:Q", color=scales["color"]),
        intervals.encode(y="accuracy_low:Q", y2="accuracy_high:Q", color=scales["color"]),
        means.mark_point(size=105, strokeWidth=2, fill=palette.PAPER).encode(tooltip=mean_tooltip, **scales),
        means.mark_text(
            dx=10,
            dy=-11,
            fontSize=charts.LABEL_SIZE,
            align="left",
            color=charts.regime_text_colour(regimes) if one_model else palette.MUTED,
        ).encode(text="regime:N" if one_model else "label:N"),
    ).properties(width=charts.panel_width(columns), height=280, title=charts.panel_title(title))
