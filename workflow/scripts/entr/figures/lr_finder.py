"""Curves of the learning-rate finder."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from entr.figures import charts, panels, small_multiples
from entr.figures.charts import field_tooltip, group_tooltip, switch, switch_filter, switched_text, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, round_numbers

MAX_POINTS = 45
"""Points per curve; more cannot be distinguished."""
MAX_LOSS_RATIO = 4
"""Losses above this multiple of the minimum are cut off; there the finder itself stops."""
MAX_PHASES = 6
"""Phases side by side."""
PANEL_HEIGHT = 170
AXIS = "training loss, nats"


def plot(data: FigureData) -> charts.Spec:
    """Plot loss against learning rate before each phase."""
    curves = data.rows("lr_find")
    if not len(curves):
        return charts.empty_chart("No learning-rate finder curves to plot yet: no cell is finished")
    keys = [*CELL_GROUP, "phase"]
    # with random sizes there is a curve per size, of which the last one decides
    curves = curves[curves["size"] == curves.groupby(keys)["size"].transform("last")]
    minima = curves.loc[curves.groupby(keys)["loss"].idxmin()]
    rows = curves[curves["loss"] <= MAX_LOSS_RATIO * curves.groupby(keys)["loss"].transform("min")]
    interval = max(1, int(curves.groupby(keys).size().max()) // MAX_POINTS)
    rows = rows[rows.groupby(keys).cumcount() % interval == 0]
    phases = list(dict.fromkeys(curves["phase"]))
    if data.has_many_regimes or len(phases) > MAX_PHASES:
        return _plot_by_regime(data, rows, minima)
    medians = minima.groupby("phase")["learning_rate"].median()
    models = {model: model for model in data.names_in(curves, "model")}
    model_switch = switch("model", "model", models)
    return with_title(
        _panels_by_phase(data, rows, phases),
        f"Learning rate of the lowest loss: {', '.join(f'{phase} {medians[phase]:.2g}' for phase in phases)}",
        [switched_text(model_switch, models), "title: medians over datasets, models and regimes; first seed"],
        "Training loss against learning rate, one panel per dataset and phase, one line per regime.",
        [model_switch],
    )


def _panels_by_phase(data: FigureData, rows: pd.DataFrame, phases: Sequence[str]) -> alt.FacetChart | alt.VConcatChart:
    labelled = panels.with_curve_labels(
        rows,
        "learning_rate",
        "loss",
        column="phase",
        columns=phases,
        keys=["dataset", "model"],
        height=PANEL_HEIGHT,
    )
    rows = round_numbers(labelled)
    regimes = data.design.regimes
    base = alt.Chart().transform_filter(switch_filter("model"))
    lines = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=10, opacity=0.6)).encode(
        x=alt.X(
            "learning_rate:Q",
            title="learning rate",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(format="~g", tickCount=3),
        ),
        y=alt.Y("loss:Q", title=AXIS, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4)),
        color=charts.regime_scales(regimes, legend=not panels.are_labelled(rows))["color"],
        tooltip=_tooltip(),
    )
    columns = [*CELL_GROUP, "phase", "size", "learning_rate", "loss", "curve_label", "label_x", "label_y"]
    panel = alt.layer(lines, *panels.curve_labels(base, rows, regimes, AXIS)).properties(
        data=rows[columns], width=charts.panel_width(len(phases)), height=PANEL_HEIGHT
    )
    column = alt.Column("phase:N", sort=phases, title=None)
    return panels.facet_by_dataset(data, panel, rows, column, independent=["y"])


def _plot_by_regime(data: FigureData, rows: pd.DataFrame, minima: pd.DataFrame) -> charts.Spec:
    """Plot a panel per regime, because there are many regimes, or phases that they do not share."""
    phases = {regime: list(dict.fromkeys(own["phase"])) for regime, own in rows.groupby("regime")}
    order = [
        (phases[regime].index(phase) + 1) / len(phases[regime])
        for regime, phase in zip(rows["regime"], rows["phase"], strict=True)
    ]
    rows = round_numbers(rows.assign(order=order))[[*CELL_GROUP, "phase", "order", "size", "learning_rate", "loss"]]
    lines = (
        alt.Chart()
        .transform_filter(switch_filter("model"))
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X(
                "learning_rate:Q",
                title="learning rate",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(format="~g", tickCount=3, grid=False),
            ),
            y=alt.Y(
                "loss:Q", title=["training loss,", "nats"], scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4)
            ),
            color=small_multiples.colour(data),
            opacity=alt.Opacity("order:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0.15, 1])),
            detail="phase:N",
            tooltip=_tooltip(),
        )
    )
    model_switch, models, model_text = small_multiples.model_switch(data, rows)
    medians = minima.groupby("regime")["learning_rate"].median().to_dict()
    return with_title(
        small_multiples.by_regime(data, rows, [lines]),
        dict.fromkeys(models, f"Learning rate of the lowest loss: {data.describe_values(medians, '{:.2g}'.format)}"),
        [model_text, "one line per phase, later phases darker; title: medians over datasets and phases; first seed"],
        "Training loss against learning rate, one panel per dataset and regime, one line per phase.",
        [model_switch],
    )


def _tooltip() -> list[alt.Tooltip]:
    return [
        *group_tooltip(),
        field_tooltip("phase"),
        field_tooltip("size", "image size, px", ".0f"),
        field_tooltip("learning_rate", "learning rate", ".2~g"),
        field_tooltip("loss", "loss, nats", ".3f"),
    ]
