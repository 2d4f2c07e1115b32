"""Training diagnostics: training loss, generalisation gap and weight distance [paper, Discussion]."""

import altair as alt
import pandas as pd

from entr.figures import charts, panels
from entr.figures.charts import switch, switch_filter, with_title
from entr.figures.figure_data import FigureData, complete_blocks, seed_count, stages_in
from entr.metrics.labels import FULL

DIAGNOSTICS = {
    "training_negative_log_likelihood": "training loss, nats",
    "loss_gap": "loss gap, nats",
    "accuracy_gap": "accuracy gap",
    "weight_distance_early": "distance, early layers",
    "weight_distance_late": "distance, late layers",
    "weight_distance_head": "distance, head",
}
"""Metrics, as they are labelled."""
COLUMNS = 3
"""Panels side by side."""


def plot(data: FigureData) -> charts.Spec:
    """Plot training loss, generalisation gaps and weight distances by model and regime."""
    metrics = data.rows("metrics", metric=list(DIAGNOSTICS), resolution=FULL)
    if not len(metrics):
        return charts.empty_chart("No training diagnostics to plot yet: no cell is finished")
    summary = data.rows("summary", metric=list(DIAGNOSTICS), resolution=FULL)
    rows = panels.seeds_and_means(metrics, summary, ["stage", "metric"], ".3f")
    stages = stages_in(rows)
    stage_switch = switch("stage", "stage", stages)
    return with_title(
        alt.vconcat(
            *(_panels(data, rows[rows["dataset"] == name], name) for name in data.names_in(rows, "dataset")),
            spacing=20,
        ),
        {stage: _title(data, metrics[metrics["stage"] == stage], words) for stage, words in stages.items()},
        [
            "loss gap: validation − training; accuracy gap: training − validation",
            "distance: between current and initial weights, relative to the norm of the initial weights",
            f"{seed_count(rows[rows['kind'] == 'mean'])}; {data.conditions()}",
        ],
        "Training loss, generalisation gaps and weight distances of each regime by model, one row of panels per "
        "dataset.",
        [stage_switch],
    )


def _panels(data: FigureData, rows: pd.DataFrame, title: str) -> alt.ConcatChart:
    """Return the panels of one dataset."""
    width = panels.point_panel_width(data, rows, COLUMNS)
    charts_of_metrics = [
        alt.layer(*panels.point_layers(data, label, ".1%" if metric == "accuracy_gap" else ".3f"))
        .properties(data=rows[rows["metric"] == metric], width=width, height=125)
        .transform_filter(switch_filter("stage"))
        for metric, label in DIAGNOSTICS.items()
        if metric in set(rows["metric"])
    ]
    return alt.concat(*charts_of_metrics, columns=COLUMNS, spacing=10, title=charts.panel_title(title))


def _title(data: FigureData, metrics: pd.DataFrame, stage: str) -> str:
    blocks = complete_blocks(metrics[metrics["metric"] == "loss_gap"]).groupby(["regime", "dataset", "model"])
    means = blocks["value"].mean().groupby("regime").mean()
    gaps = [f"{regime} {means[regime]:.2f}" for regime in data.design.regimes if regime in means]
    return f"Loss gap {stage}, nats: {', '.join(gaps)}"
