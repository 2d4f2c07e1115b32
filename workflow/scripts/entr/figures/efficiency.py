"""Fig. 4: efficiency *As* by dataset, model, regime and stage [paper, Fig. 4]."""

import numpy as np

from entr.figures import charts, panels
from entr.figures.charts import switch, switch_filter, switched_text, with_title
from entr.figures.figure_data import FigureData
from entr.metrics.labels import PHASE


def plot(data: FigureData) -> charts.Spec:
    """Plot the efficiency of seeds and their means, before and after fine-tuning."""
    metrics = data.rows("metrics", metric="efficiency", resolution=PHASE)
    if not len(metrics):
        return charts.empty_chart("No efficiency to plot yet: no cell is finished")
    summary = data.rows("summary", metric="efficiency", resolution=PHASE)
    rows = panels.seeds_and_means(metrics, summary, ["stage", "time_basis"], ".3f")
    time_bases = data.time_bases(metrics)
    time_switch = switch("time_basis", "T", time_bases)
    layers = panels.point_layers(data, "As = √(A/T), 1/√s", ".3f")
    regimes = data.describe_regimes(metrics)
    return with_title(
        panels.by_dataset_and_stage(data, rows, layers, switch_filter("time_basis")),
        {time_basis: _title(data, time_basis, regimes) for time_basis in time_bases},
        [
            switched_text(time_switch, {time_basis: f"T: {words}" for time_basis, words in time_bases.items()}),
            panels.describe_points(rows),
        ],
        f"Efficiency As of {panels.describe_groups(data, metrics)}, one panel per dataset and stage.",
        [time_switch],
        conditions=data.conditions(),
    )


def _title(data: FigureData, time_basis: str, regimes: str) -> str:
    ratios = data.final_effects("log_efficiency_ratio", time_basis, lambda mean: f"{np.exp(mean):.2f}")
    return f"Efficiency relative to {data.design.control}: {ratios}" if ratios else f"Efficiency of {regimes}"
