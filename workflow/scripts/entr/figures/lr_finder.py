"""Curves of the learning-rate finder."""

import altair as alt

from entr.figures import charts, panels
from entr.figures.charts import field_tooltip, group_tooltip, switch, switch_filter, switched_text, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, round_numbers

MAX_POINTS = 45
"""Points per curve; more cannot be distinguished."""
MAX_LOSS_RATIO = 4
"""Losses above this multiple of the minimum are cut off; there the finder itself stops."""

PANEL_HEIGHT = 170
AXIS = "training loss, nats"


def plot(data: FigureData) -> charts.Spec:
    """Plot loss against learning rate before each phase."""
    curves = data.rows("lr_find")
    if not len(curves):
        return charts.empty_chart("No learning-rate finder curves to plot yet: no cell is finished")
    keys = [*CELL_GROUP, "phase"]
    minima = curves.loc[curves.groupby(keys)["loss"].idxmin()]
    rows = curves[curves["loss"] <= MAX_LOSS_RATIO * curves.groupby(keys)["loss"].transform("min")]
    interval = max(1, int(curves.groupby(keys).size().max()) // MAX_POINTS)
    rows = rows[rows.groupby(keys).cumcount() % interval == 0]
    phases = list(dict.fromkeys(curves["phase"]))
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
    models = {model: model for model in data.names_in(curves, "model")}
    model_switch = switch("model", "model", models)
    tooltip = [
        *group_tooltip(),
        field_tooltip("phase"),
        field_tooltip("size", "image size, px", ".0f"),
        field_tooltip("learning_rate", "learning rate", ".2~g"),
        field_tooltip("loss", "loss, nats", ".3f"),
    ]
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
        tooltip=tooltip,
    )
    columns = [*keys, "size", "learning_rate", "loss", "curve_label", "label_x", "label_y"]
    panel = alt.layer(lines, *panels.curve_labels(base, rows, regimes, AXIS)).properties(
        data=rows[columns], width=charts.panel_width(len(phases)), height=PANEL_HEIGHT
    )
    column = alt.Column("phase:N", sort=phases, title=None)
    chart = panels.facet_by_dataset(data, panel, curves, column, independent=["y"])
    medians = minima.groupby("phase")["learning_rate"].median()
    return with_title(
        chart,
        f"Learning rate of the lowest loss: {', '.join(f'{phase} {medians[phase]:.2g}' for phase in phases)}",
        [switched_text(model_switch, models), "title: medians over datasets, models and regimes; first seed"],
        "Training loss against learning rate, one panel per dataset and phase, one line per regime.",
        [model_switch],
    )
