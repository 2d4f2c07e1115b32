"""Wall time of a cell by activity."""

import altair as alt
import pandas as pd

from entr.figures import charts
from entr.figures.charts import field_tooltip, group_tooltip, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, round_numbers

TIMED = {
    "training steps (T)": ("training",),
    "resizing (T)": ("resize",),
}
"""Activities that are part of *T*, and the fields of `metrics.schema.Seconds` that they sum up."""
UNTIMED = {
    "validation": ("validation",),
    "learning-rate finder": ("lr_finder",),
    "evaluation": ("evaluation",),
    "start-up, loading, checkpoints": ("starting", "loading", "checkpoint", "other"),
}
"""Activities that are excluded from *T*."""
ACTIVITIES = TIMED | UNTIMED
SHADES = ("#2d3142", "#5c6f91", "#9fb1bc", "#c9b79c", "#d9d9d9", "#f0efeb")
"""From dark to light, so that they can be told apart without colour; none is the colour of a regime."""
BAR_HEIGHT = 20
"""Height of a bar with its gap, in px."""


def plot(data: FigureData) -> charts.Spec:
    """Plot the mean wall time per cell by activity."""
    cells = data.rows("cells")
    if not len(cells):
        return charts.empty_chart("No wall time to plot yet: no cell is finished")
    rows = _means(cells)
    models, datasets = data.names_in(rows, "model"), data.names_in(rows, "dataset")
    tooltip = [
        *group_tooltip(),
        field_tooltip("activity"),
        field_tooltip("seconds", "mean time, s", ".1f"),
        field_tooltip("fraction", "fraction of the wall time", ".1%"),
    ]
    chart = (
        alt.Chart(rows)
        .mark_bar(stroke="#444444", strokeWidth=0.5)
        .encode(
            x=alt.X("seconds:Q", title="wall time per cell, s", axis=alt.Axis(tickCount=3)),
            y=alt.Y("regime:N", sort=list(data.design.regimes), title=None),
            color=alt.Color(
                "activity:N",
                title=None,
                sort=list(ACTIVITIES),
                legend=alt.Legend(columns=3),
                scale=alt.Scale(domain=list(ACTIVITIES), range=list(SHADES)),
            ),
            order="order:Q",
            tooltip=tooltip,
        )
        .properties(width=charts.panel_width(len(models)), height=alt.Step(BAR_HEIGHT))
        .facet(
            row=alt.Row("dataset:N", sort=datasets, title=None),
            column=alt.Column("model:N", sort=models, title=None),
            spacing=12,
        )
        .resolve_scale(x="independent")
    )
    timed = rows.loc[rows["activity"].isin(list(TIMED)), "seconds"].sum() / rows["seconds"].sum()
    return with_title(
        chart,
        f"{100 * timed:.0f} % of the wall time of a cell is T; the rest is excluded from T",
        ["means over seeds", data.conditions()],
        "Bars of wall time by activity for each regime, one panel per dataset and model.",
    )


def _means(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the mean seconds of each activity, one row per dataset, model, regime and activity."""
    sums = {
        activity: cells[[f"seconds_{name}" for name in names if f"seconds_{name}" in cells]].sum(axis=1)
        for activity, names in ACTIVITIES.items()
    }
    means = cells[CELL_GROUP].assign(**sums).groupby(CELL_GROUP, sort=False).mean().reset_index()
    rows = means.melt(CELL_GROUP, list(ACTIVITIES), "activity", "seconds")
    order = {activity: position for position, activity in enumerate(ACTIVITIES)}
    return round_numbers(
        rows.assign(
            fraction=rows["seconds"] / rows.groupby(CELL_GROUP)["seconds"].transform("sum"),
            order=rows["activity"].map(order),
        )
    )
