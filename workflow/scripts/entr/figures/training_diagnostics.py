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
            seed_count(rows[rows["kind"] == "mean"]),
        ],
        "Training loss, generalisation gaps and weight distances of each regime by model, one row of panels per "
        "dataset.",
        [stage_switch],
        conditions=data.conditions(),
    )


def _panels(data: FigureData, rows: pd.DataFrame, title: str) -> alt.ConcatChart:
    """Return the panels of one dataset."""
    models = data.names_in(rows, "model")
    shared = {
        "width": charts.panel_width(COLUMNS),
        "height": panels.REGIME_HEIGHT * len(data.names_in(rows, "regime")),
    }
    metrics = [metric for metric in DIAGNOSTICS if metric in set(rows["metric"])]
    charts_of_metrics: list[alt.LayerChart | alt.FacetChart] = []
    for position, metric in enumerate(metrics):
        own = rows[rows["metric"] == metric]
        number = ".1%" if metric == "accuracy_gap" else ".3f"
        is_first = position % COLUMNS == 0
        layers = panels.point_layers(data, DIAGNOSTICS[metric], number, labels=is_first)
        panel = alt.layer(*layers).properties(data=own, **shared).transform_filter(switch_filter("stage"))
        by_model = panels.model_rows(models, own["model"], labels=is_first)
        charts_of_metrics.append(panel.facet(spacing=10, **by_model) if by_model else panel)
    return alt.concat(*charts_of_metrics, columns=COLUMNS, spacing=14, title=charts.panel_title(title))


def _title(data: FigureData, metrics: pd.DataFrame, stage: str) -> str:
    blocks = complete_blocks(metrics[metrics["metric"] == "loss_gap"]).groupby(["regime", "dataset", "model"])
    means = blocks["value"].mean().groupby("regime").mean()
    return f"Loss gap {stage}, nats: {data.describe_values(means.to_dict(), '{:.2f}'.format)}"
