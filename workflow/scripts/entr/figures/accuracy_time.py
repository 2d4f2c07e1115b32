"""Fig. 1: validation accuracy against training time [paper, Fig. 1]."""

import altair as alt
import pandas as pd

from entr.figures import charts, palette, panels, small_multiples, time_to_accuracy
from entr.figures.charts import field_tooltip, group_tooltip, switch_filter, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, round_numbers, seed_count
from entr.figures.label_room import with_room
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
    if data.has_many_regimes:
        return _plot_by_regime(data, rows, tooltip)
    # the labels of many regimes would overlap; the tooltips have the sizes
    has_sizes = len(data.names_in(rows, "regime")) <= panels.MAX_LABELLED
    changes = base.transform_filter("datum.changes")
    panel = alt.layer(
        *_target_lines(alt.Chart(), rows),
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
            _describe_target(data, rows),
        ],
        "Lines of validation accuracy against training time of each regime, one panel per dataset and model.",
        conditions=data.conditions(),
    )


def _plot_by_regime(data: FigureData, rows: pd.DataFrame, tooltip: list[alt.Tooltip]) -> charts.Spec:
    curve = (
        alt.Chart()
        .transform_filter(switch_filter("model"))
        .encode(
            x=alt.X("seconds:Q", title="T, s", axis=alt.Axis(tickCount=3)),
            y=alt.Y(
                "accuracy:Q",
                title="accuracy A",
                scale=small_multiples.SCALE_WITH_LABELS,
                axis=alt.Axis(format=".3~p", tickCount=4),
            ),
        )
    )
    base = curve.encode(color=small_multiples.colour(data))
    changes = base.transform_filter("datum.changes")
    layers = [
        *_target_lines(alt.Chart().transform_filter(switch_filter("model")), rows),
        base.mark_line(strokeWidth=2),
        base.mark_point(size=16, filled=True, opacity=1).encode(tooltip=tooltip),
        changes.mark_point(size=50, filled=True, opacity=1).encode(tooltip=tooltip),
        *small_multiples.size_labels(changes),
    ]
    model_switch, models, model_text = small_multiples.model_switch(data, rows)
    thinned = small_multiples.thin_out_labels(rows, CELL_GROUP, "seconds")
    spec = with_title(
        small_multiples.by_regime(data, thinned, layers, curve),
        dict.fromkeys(models, time_to_accuracy.title(data)),
        [
            model_text,
            f"means of {seed_count(rows)} after each epoch; labels: image size in px; {small_multiples.legend(data)}",
            _describe_target(data, rows),
        ],
        "Lines of validation accuracy against training time of each regime, one panel per dataset and regime.",
        [model_switch],
        conditions=data.conditions(),
    )
    return with_room(spec)


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


def _target_lines(chart: alt.Chart, rows: pd.DataFrame) -> list[alt.Chart]:
    """Return the line of the target accuracy, if the control of each panel is finished."""
    if rows["target_accuracy"].isna().any():
        return []
    height = alt.Y("mean(target_accuracy):Q", title="accuracy A")
    return [chart.mark_rule(color=palette.LABEL, strokeDash=[4, 3]).encode(y=height)]


def _describe_target(data: FigureData, rows: pd.DataFrame) -> str:
    has_targets = rows["target_accuracy"].notna().all()
    return f"dashed: {TARGET} of the last-epoch accuracy of {data.design.control}" if has_targets else ""


def _with_targets(data: FigureData, rows: pd.DataFrame) -> pd.DataFrame:
    """Add the mean target of each dataset and model, missing where no control is finished."""
    targets = data.rows("time_to_accuracy")
    if not len(targets):
        return rows.assign(target_accuracy=float("nan"))
    means = targets.groupby(["dataset", "model"])["target_accuracy"].mean()
    return rows.join(means, on=["dataset", "model"])
