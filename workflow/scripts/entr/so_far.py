"""What is done, what is at work, and tables, verdict and curves so far, while a grid still grows."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from entr import pages, records, statistics, tables, verdict
from entr.checkpoints import recorded
from entr.figures import drawing
from entr.figures.gallery import GALLERY
from entr.figures.results import Results
from entr.guards import EntrError, atomic_write, held

log = logging.getLogger("entr")

RECORDED = ("history", "steps", "lr_find", "predictions")
"""Files of a finished cell."""
FIGURES = ("fig1", "learning", "fig4", "fig5", "front")
"""What a person who waits looks at."""
FINISHED, AT_WORK, INTERRUPTED, WAITING = "finished", "at work", "interrupted", "waiting"


def write(
    metrics: Sequence[str],
    inference: Sequence[str],
    finished: Sequence[str],
    settings: Mapping[str, Any],
    kept: str | Path,
    folder: str | Path,
) -> None:
    """Collect, compare and judge what there is; the verdict names what is missing.

    Parameters
    ----------
    metrics, inference, finished : sequence of path
        As in `tables.write`, of the whole grid; those that do not exist yet are left out.
    settings : mapping
        As in `verdict.write`.
    kept : path
        The folder of the cells' checkpoints.
    folder : path
        Gets ``progress.csv`` with a row for each cell, the tables, ``verdict.md`` and ``figures``.

    Raises
    ------
    EntrError
        When no cell is finished or at work yet.
    """
    folder = Path(folder)
    cells, growing = progress(metrics, kept)
    done = [path for path, state in zip(metrics, cells["state"], strict=True) if state == FINISHED]
    if not set(cells["state"]) & {FINISHED, AT_WORK}:
        raise EntrError(f"none of the {len(metrics)} cells of this grid is finished or at work yet; ask again later")
    with atomic_write(folder / "progress.csv") as file:
        cells.to_csv(file, index=False)
    history = folder / "history.csv"
    if done:
        _judge(done, inference, finished, settings, folder)
        growing = pd.concat([pd.read_csv(history), growing], ignore_index=True)
    with atomic_write(history) as file:
        growing.to_csv(file, index=False)
    draw(folder, settings, FIGURES if done else ("learning",))
    _say(cells, folder)


def _say(cells: pd.DataFrame, folder: Path) -> None:
    counts = cells["state"].value_counts()
    others = ", ".join(f"{counts.get(state, 0)} {state}" for state in (AT_WORK, INTERRUPTED, WAITING))
    log.info("%d of %d cells are finished, %s; see %s", counts.get(FINISHED, 0), len(cells), others, folder)
    for cell in cells[cells["state"] == AT_WORK].itertuples():
        until = f"after {cell.phase} at {100 * cell.accuracy:.1f} %" if cell.phase else "in its first phase"
        log.info("at work: %s %s %s seed %d, %s", cell.dataset, cell.model, cell.regime, cell.seed, until)


def progress(metrics: Sequence[str], kept: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Say how far each cell is.

    Parameters
    ----------
    metrics : sequence of path
        Of all cells, as ``<dataset>/<model>/<regime>/seed<seed>/metrics.json``.
    kept : path
        The folder of checkpoints.

    Returns
    -------
    cells : DataFrame
        ``dataset, model, regime, seed, state``, and the last ``phase`` that is known, its ``epoch``
        and validation ``accuracy``.
    growing : DataFrame
        The history of those at work, as `records` joins it, until the last phase that they finished.
    """
    cells, growing = [], []
    for path in map(Path, metrics):
        dataset, model, regime, seed = path.parts[-5:-1]
        cell = {"dataset": dataset, "model": model, "regime": regime, "seed": int(seed.removeprefix("seed"))}
        checkpoint = Path(kept, dataset, model, regime, f"{seed}.npz")
        state, rows = _how_far(path, checkpoint)
        if state == AT_WORK:
            growing += [cell | row for row in rows]
        last = rows[-1] if rows else {}
        cells.append(
            cell
            | {"state": state}
            | {"phase": last.get("phase", ""), "epoch": last.get("epoch"), "accuracy": last.get("accuracy")}
        )
    return pd.DataFrame(cells).astype({"epoch": "Int64"}), pd.DataFrame(growing)


def _how_far(metrics: Path, checkpoint: Path) -> tuple[str, list[dict[str, Any]]]:
    """Return the state of a cell, and its rows of the history."""
    lock = checkpoint.with_suffix(".lock")
    if held(lock):
        # what was kept before this job began may be of another configuration
        own = checkpoint.exists() and checkpoint.stat().st_mtime_ns >= lock.stat().st_mtime_ns
        return AT_WORK, (recorded(checkpoint) or {}).get("history", []) if own else []
    if metrics.exists():
        return FINISHED, pd.read_csv(metrics.with_name("history.csv")).to_dict("records")
    return INTERRUPTED if checkpoint.exists() else WAITING, []


def _judge(
    done: Sequence[str],
    inference: Sequence[str],
    finished: Sequence[str],
    settings: Mapping[str, Any],
    folder: Path,
) -> None:
    path = {name: folder / f"{name}.csv" for name in ("cells", "summary", "runs", "efficiency", "effects", "claims")}
    of_cells = {name: path[name] for name in ("cells", "summary", "runs")}
    tables.write(done, _existing(inference), _existing(finished), settings["control"], **of_cells)
    comparisons = {name: path[name] for name in ("efficiency", "effects")}
    statistics.write(path["cells"], settings["control"], settings["folds"], **comparisons)
    verdict.write(
        path["cells"], **comparisons, runs=path["runs"], settings=settings,
        claims_table=path["claims"], verdict=folder / "verdict.md",
    )  # fmt: skip
    of_done = {name: [Path(one).with_name(f"{name}.csv") for one in done] for name in RECORDED}
    of_records = {name: folder / f"{name}.csv" for name in ("history", "steps", "lr_find", "confusions")}
    records.write(**of_done, tables=of_records)


def draw(folder: Path, settings: Mapping[str, Any], figures: Sequence[str] = FIGURES) -> None:
    """Draw what can be seen of a growing grid from the tables in a folder into ``figures`` within it."""
    shared = {name: settings[name] for name in ("datasets", "models", "regimes", "control", "basis")}
    library = folder / "figures" / "vega.js"
    pages.bundle(library)
    for name in figures:
        paths = [folder / f"{table}.csv" for table in GALLERY[name].tables]
        results = Results.read(_existing(paths), **shared)
        drawing.draw(name, asdict(GALLERY[name]), results, library=library, folder=library.parent)


def _existing(paths: Sequence[str | Path]) -> list[str | Path]:
    return [path for path in paths if Path(path).exists()]
