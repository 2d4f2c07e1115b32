"""Time to accuracy: how long each regime trains until it is nearly as accurate as the trained control.

The target is the same for all regimes of a dataset, model and seed, which validate on the same images: a fixed share
of the accuracy that the control has after its last epoch. An epoch counts with the accuracy that was recorded after
it, at the image size of that epoch and without test-time augmentation. Cells that do not reach the target are
censored: there is no time, and their share is reported.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from entr.analysis.estimation import Sample, estimate, replicate_means, validation_training_ratio
from entr.analysis.paired_effects import SCOPES, scopes
from entr.jobs.tables import read_table, write_table
from entr.metrics.epoch_times import TARGET_SHARE, with_seconds
from entr.metrics.labels import CELL

BLOCK = ["dataset", "model", "seed"]
"""Columns that identify the cells with the same target."""
ROUNDING_ERROR = 1e-6
"""Accuracies are recorded in single precision, so that equal ones may seem to differ."""


def write_times_to_accuracy(
    history: str | Path, cells: str | Path, control: str, folds: int, *, times: str | Path, effects: str | Path
) -> None:
    """Find when each cell reaches the target, and compare the regimes with the control.

    Parameters
    ----------
    history : path
        The table of epochs of `histories.write_histories`.
    cells : path
        The table of cells of `aggregation.write_metrics`.
    control : str
        The regime whose final accuracy is the reference.
    folds : int
        Folds of a partition; they determine how much the training images of two seeds overlap.
    times, effects : path
        CSV files: one row per cell, see `times_to_accuracy`; one row per regime and scope, see `effects_on_time`.

    Raises
    ------
    EntrError
        If a table is damaged.
    """
    table = times_to_accuracy(read_table(history), read_table(cells), control)
    write_table(table, times)
    write_table(effects_on_time(table, control, validation_training_ratio(folds)), effects)


def times_to_accuracy(
    history: pd.DataFrame, cells: pd.DataFrame, control: str, share: float = TARGET_SHARE
) -> pd.DataFrame:
    """Return when each cell first reaches a share of the control's final accuracy.

    Parameters
    ----------
    history, cells : DataFrame
        See `with_seconds`; `history` also has the column ``accuracy``, a fraction.
    control : str
        The regime whose final accuracy is the reference.
    share : float
        Share of that accuracy.

    Returns
    -------
    DataFrame
        One row per finished cell whose control is finished too. ``epoch`` is the first one with the accuracy
        ``target_accuracy`` (a fraction), and ``seconds`` is *T* after it; both are missing if ``reached`` is false.
        ``trained_seconds`` is *T* after the last epoch. ``time_ratio`` and its natural logarithm compare
        ``seconds`` with those of the control, which always reaches its target.
    """
    epochs = with_seconds(history, cells)
    final = epochs[epochs["regime"] == control].groupby(BLOCK)["accuracy"].last()
    epochs = epochs.join((share * final).rename("target_accuracy"), on=BLOCK, how="inner")
    # the running maximum reaches the target in the same epoch
    reaching = epochs[epochs["accuracy"] >= epochs["target_accuracy"] - ROUNDING_ERROR]
    first = reaching.groupby(CELL)[["epoch", "seconds"]].first()
    whole = epochs.groupby(CELL, sort=False).agg(
        target_accuracy=("target_accuracy", "first"),
        best_accuracy=("accuracy", "max"),
        trained_seconds=("seconds", "last"),
    )
    table = whole.join(first).reset_index()
    table.insert(table.columns.get_loc("epoch"), "reached", table["epoch"].notna())
    of_control = table[table["regime"] == control].set_index(BLOCK)["seconds"].rename("seconds_of_control")
    table = table.join(of_control, on=BLOCK).astype({"epoch": "Int64"})
    ratio = table["seconds"] / table["seconds_of_control"]
    return table.assign(time_ratio=ratio, log_time_ratio=np.log(ratio))


def effects_on_time(times: pd.DataFrame, control: str, overlap: float) -> pd.DataFrame:
    """Return how the time to accuracy of each regime compares with that of the control.

    Parameters
    ----------
    times : DataFrame
        The table of `times_to_accuracy`.
    control : str
        The regime that the others are compared with.
    overlap : float
        Ratio of validation to training images, see `validation_training_ratio`.

    Returns
    -------
    DataFrame
        One row per regime and scope, see `paired_effects.effects_table`. ``cells`` and ``reached_cells`` count
        all cells and those that reach the target; ``time_ratio`` is the geometric mean over the ``replicates``
        that do, with its 95 % intervals.
    """
    rows = []
    treated = times[times["regime"] != control].astype({"reached": float})
    for regime, group in treated.groupby("regime", sort=False):
        wide = group.pivot(index=["dataset", "seed"], columns="model", values=["reached", "log_time_ratio"])  # noqa: PD010  no mean
        wide.columns = wide.columns.set_names(["metric", "model"])
        rows += [{"regime": regime} | row for row in _effect_rows(wide, overlap, times["dataset"].nunique())]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    order = {scope: position for position, scope in enumerate(SCOPES)}
    table = table[["scope", "dataset", "model", "regime", *list(table)[4:]]]
    return table.sort_values("scope", key=lambda scope: scope.map(order), kind="stable", ignore_index=True)


def _effect_rows(wide: pd.DataFrame, overlap: float, datasets: int) -> Iterator[dict[str, Any]]:
    """Yield the comparison of one regime with the control in each scope."""
    for scope, dataset, model, part in scopes(wide, "reached"):
        cells, reached = int(part["reached"].count().sum()), int(part["reached"].sum().sum())
        samples = list(replicate_means(part["log_time_ratio"]).values())
        # a mean over fewer datasets could not be compared with that of another regime
        without = (datasets if scope == "all" else 1) - len(samples)
        if without:
            samples = []
        yield {
            "scope": scope,
            "dataset": dataset,
            "model": model,
            "cells": cells,
            "reached_cells": reached,
            "reached_share": reached / cells,
            "replicates": sum(map(len, samples)),
            **_ratios(samples, overlap),
            "note": _note(cells, reached, list(map(len, samples)), without),
        }


def _ratios(samples: Sequence[Sample], overlap: float) -> dict[str, float]:
    """Return the geometric mean ratio with its intervals; missing where no seed reaches the target."""
    names = ("time_ratio", "low", "high", "low_corrected", "high_corrected")
    if not samples:
        return dict.fromkeys(names, np.nan)
    result = estimate(samples, overlap, flips=1)
    student, corrected = result.student, result.corrected
    logarithms = (result.mean, student.low, student.high, corrected.low, corrected.high)
    with np.errstate(over="ignore"):
        return dict(zip(names, map(float, np.exp(logarithms)), strict=True))


def _note(cells: int, reached: int, seeds: Sequence[int], without: int) -> str:
    """Return the limitations of a comparison.

    Parameters
    ----------
    cells, reached : int
        Number of cells, and of those that reach the target.
    seeds : sequence of int
        Replicates of each dataset.
    without : int
        Number of datasets without a replicate.
    """
    notes = []
    if not reached:
        notes.append("no cell reaches the target")
    elif without:
        notes.append("no ratio: there is a dataset in which no replicate reaches the target")
    elif reached < cells:
        notes.append("the ratio leaves out cells that do not reach the target, which favours the regime")
    if seeds and min(seeds) < 2:
        subject = "one replicate" if sum(seeds) == 1 else "a dataset has one replicate"
        notes.append(f"{subject}: no interval")
    return "; ".join(notes)
