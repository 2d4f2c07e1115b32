"""Fig. 1: validation accuracy against training time [paper, Fig. 1]."""

import altair as alt
import pandas as pd

from entr.figures import charts, palette, panels, time_to_accuracy
from entr.figures.charts import field_tooltip, group_tooltip, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, round_numbers, seed_count
from entr.figures.time_to_accuracy import TARGET
from entr.metrics.epoch_times import with_seconds
from entr.metrics.labels import CELL

MARKS = "large points: changes of the image size"


def plot(data: FigureData) -> charts.Spec:
    """Plot mean accuracy against training time, for each regime."""
    history, cells = data.rows("history"), data.rows("cells")
    if not len(history) or not len(cells):
        return charts.empty_chart("No accuracy to plot yet: no cell is finished")
    means = mean_by_epoch(with_seconds(history, cells))
    rows = panels.with_curve_labels(means, "seconds", "accuracy", columns=data.names_in(means, "model"))
    rows = round_numbers(_with_targets(data, rows))
    scales = charts.regime_scales(data.design.regimes, legend=not panels.are_labelled(rows))
    base = alt.Chart().encode(
        x=alt.X("seconds:Q", title="T, s", axis=alt.Axis(tickCount=6)),
        y=alt.Y(
            "accuracy:Q",
            title="accuracy A",
            scale=alt.Scale(zero=False, nice=True),
            axis=alt.Axis(format=".3~p", tickCount=5),
        ),
        color=scales["color"],
    )
    tooltip = [
        *group_tooltip(),
        field_tooltip("phase"),
        field_tooltip("epoch", "epoch", ".0f"),
        field_tooltip("size", "image size, px", ".0f"),
        field_tooltip("seconds", "T, s", ".1f"),
        field_tooltip("accuracy", "mean accuracy A", ".1%"),
        field_tooltip("n", "seeds", ".0f"),
    ]
    # the labels of many regimes would overlap; the tooltips have the sizes
    has_sizes = len(data.names_in(rows, "regime")) <= panels.MAX_LABELLED
    changes = base.transform_filter("datum.changes")
    has_targets = rows["target_accuracy"].notna().all()
    target = (
        alt.Chart()
        .mark_rule(color=palette.LABEL, strokeDash=[4, 3])
        .encode(y=alt.Y("mean(target_accuracy):Q", title="accuracy A"))
    )
    panel = alt.layer(
        *([target] if has_targets else []),
        base.mark_line(strokeWidth=2),
        base.mark_point(size=18, filled=True, opacity=1).encode(tooltip=tooltip),
        changes.mark_point(size=90, filled=True, opacity=1).encode(shape=scales["shape"], tooltip=tooltip),
        *([panels.size_labels(changes, data.design.regimes)] if has_sizes else []),
        *panels.curve_labels(alt.Chart(), rows, data.design.regimes, "accuracy A"),
    )
    return with_title(
        panels.by_dataset_and_model(data, rows, panel),
        time_to_accuracy.title(data),
        [
            f"means of {seed_count(rows)} after each epoch; {'labels: image size in px' if has_sizes else MARKS}",
            f"dashed: {TARGET} of the final accuracy of {data.design.control}" if has_targets else "",
        ],
        "Lines of validation accuracy against training time of each regime, one panel per dataset and model.",
        conditions=data.conditions(),
    )


def mean_by_epoch(history: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds after each epoch, and where the image size changes.

    Parameters
    ----------
    history : DataFrame
        Rows of `with_seconds`.

    Returns
    -------
    DataFrame
        Columns ``dataset, model, regime, epoch, phase, size, seconds, accuracy, n, changes, label``.
    """
    table = history.sort_values([*CELL, "epoch"], kind="stable")
    groups = table.groupby([*CELL_GROUP, "epoch"], sort=False)
    means = groups.agg(
        phase=("phase", "first"),
        size=("size", "first"),
        seconds=("seconds", "mean"),
        accuracy=("accuracy", "mean"),
        n=("seed", "nunique"),
    )
    return panels.mark_size_changes(means.reset_index(), CELL_GROUP)


def _with_targets(data: FigureData, rows: pd.DataFrame) -> pd.DataFrame:
    """Add the mean target of each dataset and model, missing where no control is finished."""
    targets = data.rows("time_to_accuracy")
    if not len(targets):
        return rows.assign(target_accuracy=float("nan"))
    means = targets.groupby(["dataset", "model"])["target_accuracy"].mean()
    return rows.join(means, on=["dataset", "model"])
