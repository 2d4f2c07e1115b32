"""Fig. 5: accuracy *A* by dataset, model, regime and stage [paper, Fig. 5]."""

import altair as alt
import numpy as np
import pandas as pd

from entr.figures import charts, palette, panels
from entr.figures.charts import field_tooltip, switch, switch_filter, with_title
from entr.figures.figure_data import FigureData
from entr.metrics.labels import FINAL, RESOLUTIONS
from entr.metrics.published_results import PUBLISHED

AXIS = "accuracy A"


def plot(data: FigureData) -> charts.Spec:
    """Plot the accuracy of seeds and their means, before and after fine-tuning."""
    metrics = data.rows("metrics", metric="accuracy", resolution=list(RESOLUTIONS))
    if not len(metrics):
        return charts.empty_chart("No accuracy to plot yet: no cell is finished")
    summary = data.rows("summary", metric="accuracy", resolution=list(RESOLUTIONS))
    rows = panels.seeds_and_means(metrics, summary, ["stage", "resolution"], ".1%")
    resolutions = {name: words for name, words in RESOLUTIONS.items() if name in set(metrics["resolution"])}
    resolution_switch = switch("resolution", "evaluated at", resolutions)
    regimes = data.describe_regimes(metrics)
    return with_title(
        panels.by_dataset_and_stage(
            data,
            pd.concat([rows, _published(data, metrics)], ignore_index=True),
            panels.point_layers(data, AXIS, ".1%"),
            switch_filter("resolution"),
            reference=_published_layers(),
        ),
        {resolution: _title(data, metrics, resolution, regimes) for resolution in resolutions},
        [f"chance level: {_chance_levels(data)}", panels.describe_points(rows)],
        f"Accuracy A of {panels.describe_groups(data, metrics)}, one panel per dataset and stage.",
        [resolution_switch],
        conditions=data.conditions(),
    )


def _title(data: FigureData, metrics: pd.DataFrame, resolution: str, regimes: str) -> str:
    control = data.design.control
    own = metrics[(metrics["regime"] == control) & (metrics["stage"] == FINAL) & (metrics["resolution"] == resolution)]
    level = own.groupby(["dataset", "model"])["value"].mean().mean()
    if np.isnan(level):
        return f"Accuracy of {regimes}"
    time_basis = data.design.time_basis
    differences = data.final_effects("accuracy_difference", time_basis, _points, resolution=resolution)
    return ", ".join(filter(None, [f"Final accuracy: {control} {100 * level:.1f} %", differences]))


def _points(difference: float) -> str:
    # adding zero removes the sign of a negative zero
    return f"{round(100 * difference, 1) + 0:+.1f} points".replace("-", "−")


def _published(data: FigureData, metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the paper's best accuracies for the datasets and models shown, at each resolution."""
    models = {name: data.names_in(metrics[metrics["dataset"] == title], "model") for name, title in data.titles.items()}
    return pd.DataFrame(
        {
            "dataset": data.titles[best.dataset],
            "stage": best.stage,
            "model": model,
            "resolution": resolution,
            "kind": "reference",
            "value": best.accuracy,
            "low": best.low,
            "high": best.high,
            "cell": best.cell,
            "count": best.count,
            "label": f"paper's best {100 * best.accuracy:.1f} %" if model == models[best.dataset][0] else "",
        }
        for best in PUBLISHED
        if best.dataset in data.titles
        for resolution in RESOLUTIONS
        for model in models[best.dataset]
    )


def _published_layers() -> list[alt.Chart]:
    tooltip = [
        field_tooltip("label", "paper"),
        field_tooltip("cell", "reached by"),
        field_tooltip("count", "correct images"),
        field_tooltip("low", "95 % interval from", ".1%"),
        field_tooltip("high", "to", ".1%"),
    ]
    base = (
        alt.Chart()
        .transform_filter("datum.kind === 'reference'")
        .encode(x=alt.X("value:Q", title=AXIS), tooltip=tooltip, color=alt.value(palette.MUTED))
    )
    return [
        base.mark_rule(strokeDash=[5, 4], strokeWidth=1.5),
        base.mark_text(baseline="bottom", dy=-3, fontSize=11).encode(text="label:N", y=alt.value(0)),
    ]


def _chance_levels(data: FigureData) -> str:
    """Return the accuracy of guessing among equally likely classes, by dataset, as text."""
    classes = data.rows("cells").groupby("dataset")["classes"].first()
    return ", ".join(f"{title} {100 / classes[title]:.1f} %" for title in data.titles.values() if title in classes)
