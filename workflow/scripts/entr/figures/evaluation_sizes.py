"""Accuracy of the trained models at other image sizes."""

import altair as alt
import pandas as pd

from entr.figures import charts, panels
from entr.figures.charts import field_tooltip, group_tooltip, with_title
from entr.figures.figure_data import FigureData, complete_blocks, seed_count
from entr.metrics.labels import OTHER, STAGES, TOTAL


def plot(data: FigureData) -> charts.Spec:
    """Plot accuracy against the image size in evaluation."""
    metrics = data.rows("metrics", metric="accuracy", resolution=OTHER)
    if not len(metrics):
        return charts.empty_chart("No evaluation sizes to plot yet: no cell is finished")
    summary = data.rows("summary", metric="accuracy", resolution=OTHER)
    rows = panels.seeds_and_means(metrics, summary, ["stage"], ".1%")
    means_of_seeds = rows["kind"] == "mean"
    labelled = panels.with_curve_labels(rows[means_of_seeds], "size", "value", columns=data.names_in(metrics, "model"))
    rows = pd.concat([rows[~means_of_seeds].assign(curve_label=""), labelled], ignore_index=True)
    scales = charts.regime_scales(data.design.regimes, legend=not panels.are_labelled(labelled))
    base = alt.Chart().encode(
        x=alt.X(
            "size:Q",
            title="evaluation size, px",
            scale=alt.Scale(zero=False, padding=8),
            axis=alt.Axis(tickCount=7),
        ),
        color=scales["color"],
    )
    y = alt.Y("value:Q", title="accuracy A", scale=alt.Scale(zero=False), axis=alt.Axis(format=".3~p", tickCount=5))
    size = field_tooltip("size", "evaluation size, px", ".0f")
    seed_tooltip = [*group_tooltip(), size, field_tooltip("seed"), field_tooltip("value", "accuracy", ".1%")]
    mean_tooltip = [
        *group_tooltip(),
        size,
        field_tooltip("value", "mean accuracy", ".1%"),
        field_tooltip("interval", "95 % interval"),
        field_tooltip("n", "seeds", ".0f"),
    ]
    seeds = base.transform_filter("datum.kind === 'seed'")
    means = base.transform_filter("datum.kind === 'mean'")
    panel = alt.layer(
        seeds.mark_point(filled=True, size=12, opacity=0.3).encode(y=y, tooltip=seed_tooltip),
        means.mark_line(strokeWidth=1.8).encode(y=y),
        means.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q"),
        means.mark_point(filled=True, size=60, opacity=1).encode(y=y, shape=scales["shape"], tooltip=mean_tooltip),
        *panels.curve_labels(alt.Chart(), labelled, data.design.regimes, "accuracy A"),
    )
    means_by_size = complete_blocks(metrics).groupby(["regime", "size"])["value"].mean()
    best = [
        f"{regime} {int(means_by_size[regime].idxmax())} px"
        for regime in data.design.regimes
        if regime in means_by_size
    ]
    return with_title(
        panels.by_dataset_and_model(data, rows, panel),
        f"Evaluation size with the highest accuracy: {', '.join(best)}",
        [
            f"{STAGES[TOTAL]}, without test-time augmentation; {seed_count(labelled)}",
        ],
        "Accuracy against evaluation size of each regime, one panel per dataset and model.",
        conditions=data.conditions(),
    )
