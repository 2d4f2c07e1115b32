"""Fig. 1: validation accuracy against training time [paper, Fig. 1]."""

import altair as alt
import numpy as np
import pandas as pd

from entr.figures import charts, panels
from entr.figures.charts import field_tooltip, group_tooltip, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, round_numbers, seed_count
from entr.metrics.labels import CELL

MARGIN = 0.01
"""An accuracy that is lower by at most this counts as equal: the equivalence margin of the verdict."""


def plot(data: FigureData) -> charts.Spec:
    """Plot mean accuracy against training time, for each regime."""
    history = data.of_finished_cells(data.rows("history"))
    if not len(history):
        return charts.empty_chart("No accuracy to plot yet: no cell is finished")
    rows = round_numbers(
        panels.with_curve_labels(mean_by_epoch(history), "seconds", "accuracy", columns=data.names_in(history, "model"))
    )
    scales = charts.regime_scales(data.design.regimes, legend=not panels.are_labelled(rows))
    base = alt.Chart().encode(
        x=alt.X("seconds:Q", title="time in training steps, s", axis=alt.Axis(tickCount=6)),
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
        field_tooltip("seconds", "time, s", ".1f"),
        field_tooltip("accuracy", "mean accuracy A", ".1%"),
        field_tooltip("n", "seeds", ".0f"),
    ]
    changes = base.transform_filter("datum.changes")
    panel = alt.layer(
        base.mark_line(strokeWidth=2),
        base.mark_point(size=18, filled=True, opacity=1).encode(tooltip=tooltip),
        changes.mark_point(size=90, filled=True, opacity=1).encode(shape=scales["shape"], tooltip=tooltip),
        panels.size_labels(changes, data.design.regimes),
        *panels.curve_labels(alt.Chart(), rows, data.design.regimes, "accuracy A"),
    )
    return with_title(
        panels.by_dataset_and_model(data, rows, panel),
        _title(data, rows),
        [f"means of {seed_count(rows)} after each epoch; labels: image size in px"],
        "Lines of validation accuracy against training time of each regime, one panel per dataset and model.",
        conditions=data.conditions(),
    )


def mean_by_epoch(history: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds after each epoch, and where the image size changes.

    Returns
    -------
    DataFrame
        Columns ``dataset, model, regime, epoch, phase, size, seconds, accuracy, n, changes, label``.
    """
    table = history.sort_values([*CELL, "epoch"], kind="stable")
    table = table.assign(seconds=table.groupby(CELL)["training_seconds"].cumsum())
    groups = table.groupby([*CELL_GROUP, "epoch"], sort=False)
    means = groups.agg(
        phase=("phase", "first"),
        size=("size", "first"),
        seconds=("seconds", "mean"),
        accuracy=("accuracy", "mean"),
        n=("seed", "nunique"),
    )
    return panels.mark_size_changes(means.reset_index(), CELL_GROUP)


def _title(data: FigureData, rows: pd.DataFrame) -> str:
    """State after which part of the control's time each treatment reaches the control's final accuracy."""
    control = data.design.control
    reached, missed = [], []
    for regime in data.treatments:
        fractions = _times_to_reach(regime, control, rows)
        known = [fraction for fraction in fractions if fraction is not None]
        if known:
            cases = "" if len(known) == len(fractions) else f" (in {len(known)} of {len(fractions)} cases)"
            reached.append(f"{regime} after {100 * np.median(known):.0f} %{cases}")
        elif fractions:
            missed.append(regime)
    if reached:
        exceptions = f"; not reached by {' and '.join(missed)}" if missed else ""
        return f"Within 1 point of {control}'s final accuracy: {', '.join(reached)} of its time{exceptions}"
    if missed:
        return f"Not within 1 point of {control}'s final accuracy: {' and '.join(missed)}"
    return "Validation accuracy against training time"


def _times_to_reach(regime: str, control: str, rows: pd.DataFrame) -> list[float | None]:
    """Return the fraction of the control's time for each dataset and model, or none where it is not reached."""
    fractions: list[float | None] = []
    for _, block in rows.groupby(["dataset", "model"]):
        own, reference = block[block["regime"] == regime], block[block["regime"] == control]
        if len(own) and len(reference):
            reached = own[own["accuracy"] >= reference["accuracy"].iloc[-1] - MARGIN]
            fractions.append(reached["seconds"].iloc[0] / reference["seconds"].iloc[-1] if len(reached) else None)
    return fractions
