"""Wall time of a cell by activity."""

import altair as alt
import pandas as pd

from entr.figures import charts, palette, panels
from entr.figures.charts import field_tooltip, group_tooltip, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, round_numbers

TIMED = {
    "training steps (T)": ("training",),
    "resizing (T)": ("resize",),
}
"""Activities that are part of *T*, and the fields of `metrics.cell_metrics.Seconds` that they sum up."""
UNTIMED = {
    "validation": ("validation",),
    "learning-rate finder": ("lr_finder",),
    "evaluation": ("evaluation",),
    "start-up, loading, checkpoints": ("starting", "waiting", "loading", "checkpoint", "other"),
}
"""Activities that are excluded from *T*."""
ACTIVITIES = TIMED | UNTIMED
BAR_HEIGHT = 26
"""Height of a bar with its gap, in px."""


def plot(data: FigureData) -> charts.Spec:
    """Plot the mean wall time per cell by activity."""
    cells = data.rows("cells")
    if not len(cells):
        return charts.empty_chart("No wall time to plot yet: no cell is finished")
    rows = _means(cells)
    tooltip = [
        *group_tooltip(),
        field_tooltip("activity"),
        field_tooltip("seconds", "mean time, s", ".1f"),
        field_tooltip("fraction", "fraction of the wall time", ".1%"),
    ]
    bars = (
        alt.Chart(rows)
        .mark_bar(stroke=palette.PAPER, strokeWidth=1)
        .encode(
            x=alt.X("seconds:Q", title="wall time per cell, s", axis=alt.Axis(tickCount=5)),
            y=alt.Y(
                "regime:N",
                sort=list(data.design.regimes),
                title=None,
                axis=charts.regime_axis(data.design.regimes),
            ),
            color=alt.Color(
                "activity:N",
                title=None,
                sort=list(ACTIVITIES),
                scale=alt.Scale(domain=list(ACTIVITIES), range=list(palette.SHADES)),
            ),
            order="order:Q",
            tooltip=tooltip,
        )
    )
    height = BAR_HEIGHT * len(data.names_in(rows, "regime"))
    chart = panels.by_dataset_and_model(data, rows, bars, height=height, independent=["x"])
    timed = rows.loc[rows["activity"].isin(list(TIMED)), "seconds"].sum() / rows["seconds"].sum()
    return with_title(
        chart,
        f"{100 * timed:.0f} % of the wall time of a cell is T; the rest is excluded from T",
        ["means over seeds"],
        "Bars of wall time by activity for each regime, one panel per dataset and model.",
        conditions=data.conditions(),
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
