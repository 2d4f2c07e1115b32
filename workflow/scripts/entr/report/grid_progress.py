"""Progress of a running grid: the state of each cell, and tables, verdict and figures of the finished ones."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from entr.analysis.aggregation import write_metrics
from entr.analysis.histories import write_histories
from entr.analysis.paired_effects import write_effects
from entr.analysis.pareto_front import write_fronts
from entr.analysis.time_to_accuracy import write_times_to_accuracy
from entr.config.study_design import StudyDesign
from entr.config.training import Match
from entr.config.training_plan import Plan
from entr.figures.catalogue import CATALOGUE
from entr.figures.figure_data import FigureData
from entr.figures.html_pages import bundle_vega
from entr.figures.render import plot_figure
from entr.jobs.errors import EntrError
from entr.jobs.locks import is_locked
from entr.jobs.paths import cell_of
from entr.jobs.tables import read_table, write_table
from entr.metrics.cell_files import is_finished, verify_files
from entr.report.verdict import write_verdict
from entr.training.checkpoint import lock_path, read_records

log = logging.getLogger("entr")

CELL_FILES = ("history", "steps", "lr_find", "predictions")
"""Files of a finished cell that are aggregated."""
LEARNING_CURVES = "learning_curves"
"""The figure that can be drawn before any cell is finished."""
FIGURES = (
    "fig1_accuracy_time",
    "time_to_accuracy",
    LEARNING_CURVES,
    "fig4_efficiency",
    "fig5_accuracy",
    "pareto_front",
)
FINISHED, RUNNING, INTERRUPTED, PENDING = "finished", "running", "interrupted", "pending"

Plans = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Training plans as JSON values, by dataset and regime."""


def write_progress(
    metrics: Sequence[str | Path],
    inference: Sequence[str | Path],
    trained: Sequence[str | Path],
    *,
    design: StudyDesign,
    plans: Plans,
    match: Match,
    checkpoints: str | Path,
    folder: str | Path,
) -> None:
    """Report the state of each cell, and analyse the finished ones; the verdict names the missing ones.

    Parameters
    ----------
    metrics, inference, trained : sequence of path
        As in `aggregation.write_metrics`, for the whole grid; files that do not exist yet are left out.
    design : StudyDesign
        The design of the study.
    plans, match, checkpoints
        As in `cell_states`.
    folder : path
        Directory for ``progress.csv`` with one row per cell, the tables, ``verdict.md`` and ``figures``.

    Raises
    ------
    EntrError
        If no cell is finished or running yet, or if a file of a finished cell is damaged.
    """
    folder = Path(folder)
    cells, running_history = cell_states(metrics, checkpoints, plans, match)
    if not set(cells["state"]) & {FINISHED, RUNNING}:
        raise EntrError(f"none of the {len(metrics)} cells of this grid is finished or running yet; try again later")
    write_table(cells, folder / "progress.csv")
    finished = [path for path, state in zip(metrics, cells["state"], strict=True) if state == FINISHED]
    history = folder / "history.csv"
    if finished:
        _analyse(finished, inference, trained, design, folder)
        running_history = pd.concat([read_table(history), running_history], ignore_index=True)
    write_table(running_history, history)
    plot_progress(folder, design, FIGURES if finished else (LEARNING_CURVES,))
    _log_states(cells, folder)


def _log_states(cells: pd.DataFrame, folder: Path) -> None:
    counts = cells["state"].value_counts()
    others = ", ".join(f"{counts.get(state, 0)} {state}" for state in (RUNNING, INTERRUPTED, PENDING))
    log.info("%d of %d cells finished, %s; see %s", counts.get(FINISHED, 0), len(cells), others, folder)
    for cell in cells[cells["state"] == RUNNING].itertuples():
        progress = f"accuracy {100 * cell.accuracy:.1f} % after {cell.phase}" if cell.phase else "in its first phase"
        log.info("running: %s %s %s seed %d, %s", cell.dataset, cell.model, cell.regime, cell.seed, progress)


def cell_states(
    metrics: Sequence[str | Path], checkpoints: str | Path, plans: Plans, match: Match
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the state of each cell, and the history of those that are running.

    Parameters
    ----------
    metrics : sequence of path
        Files ``metrics.json`` of all cells, see `cell_of`.
    checkpoints : path
        Directory of the checkpoints.
    plans : mapping
        The configured training plans as JSON values, by dataset and regime. A cell that was trained with another plan
        is not finished.
    match : {"epochs", "time"}
        What the regimes have in common.

    Returns
    -------
    cells : DataFrame
        One row per cell, with the columns ``dataset, model, regime, seed, state``, and the last known
        ``phase`` with its ``epoch`` and validation ``accuracy``.
    history : DataFrame
        The history of the running cells, as `write_histories` concatenates it, up to their last completed
        phase.

    Raises
    ------
    EntrError
        If the history of a finished cell is damaged.
    """
    configured = {
        dataset: {regime: Plan.model_validate(plan) for regime, plan in by_regime.items()}
        for dataset, by_regime in plans.items()
    }
    rows, history = [], []
    for path in metrics:
        cell = cell_of(path)
        checkpoint = Path(checkpoints, cell["dataset"], cell["model"], cell["regime"], f"seed{cell['seed']}.npz")
        state, epochs = _cell_state(Path(path), checkpoint, configured[cell["dataset"]][cell["regime"]], match)
        if state == RUNNING:
            history += [cell | epoch for epoch in epochs]
        last = epochs[-1] if epochs else {}
        known = {"phase": last.get("phase", ""), "epoch": last.get("epoch"), "accuracy": last.get("accuracy")}
        rows.append(cell | {"state": state} | known)
    return pd.DataFrame(rows).astype({"epoch": "Int64"}), pd.DataFrame(history)


def _cell_state(metrics: Path, checkpoint: Path, plan: Plan, match: Match) -> tuple[str, list[dict[str, Any]]]:
    """Return the state of a cell, and the known rows of its history."""
    lock = lock_path(checkpoint)
    if is_locked(lock):
        # a checkpoint from before this job may have another configuration
        is_current = checkpoint.exists() and checkpoint.stat().st_mtime_ns >= lock.stat().st_mtime_ns
        records = read_records(checkpoint) if is_current else None
        return RUNNING, records["history"] if records else []
    if metrics.exists():
        verify_files([metrics])
    if is_finished(metrics, plan, match):
        history = metrics.with_name("history.csv")
        verify_files([history])
        return FINISHED, read_table(history).to_dict("records")
    return INTERRUPTED if checkpoint.exists() else PENDING, []


def _analyse(
    finished: Sequence[str | Path],
    inference: Sequence[str | Path],
    trained: Sequence[str | Path],
    design: StudyDesign,
    folder: Path,
) -> None:
    """Write the tables and the verdict of the finished cells."""
    names = (
        *("metrics", "summary", "cells", "pairs", "effects", "pareto_front", "answer", "claims"),
        *("history", "steps", "lr_find", "confusions", "time_to_accuracy", "time_to_accuracy_effects"),
    )
    table = {name: folder / f"{name}.csv" for name in names}
    write_metrics(finished, _existing(inference), _existing(trained), control=design.control, outputs=table)
    write_effects(table["metrics"], design.control, design.folds, pairs=table["pairs"], effects=table["effects"])
    write_fronts(table["metrics"], design.control, table=table["pareto_front"])
    write_verdict(
        table["metrics"],
        table["pairs"],
        table["effects"],
        table["cells"],
        design=design,
        outputs={
            "answer": table["answer"],
            "claims": table["claims"],
            "text": folder / "answer.txt",
            "verdict": folder / "verdict.md",
        },
    )
    files = {name: [Path(path).with_name(f"{name}.csv") for path in finished] for name in CELL_FILES}
    write_histories(**files, outputs=table)
    write_times_to_accuracy(
        table["history"],
        table["cells"],
        design.control,
        design.folds,
        times=table["time_to_accuracy"],
        effects=table["time_to_accuracy_effects"],
    )


def plot_progress(folder: Path, design: StudyDesign, figures: Sequence[str] = FIGURES) -> None:
    """Plot figures of a running grid.

    Parameters
    ----------
    folder : path
        Directory with the tables; the figures are written to its subdirectory ``figures``.
    design : StudyDesign
        The design of the study.
    figures : sequence of str
        Names of figures in the catalogue.
    """
    library = folder / "figures" / "vega.js"
    bundle_vega(library)
    for name in figures:
        figure = CATALOGUE[name]
        data = FigureData.read(_existing([folder / f"{table}.csv" for table in figure.tables]), design)
        plot_figure(name, figure.plain(), data, library=library, folder=library.parent)


def _existing(paths: Sequence[str | Path]) -> list[str | Path]:
    return [path for path in paths if Path(path).exists()]
