"""Tables and verdict of the cells that are finished, while a grid still grows."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from entr import statistics, tables, verdict
from entr.guards import EntrError

log = logging.getLogger("entr")


def write(
    metrics: Sequence[str],
    inference: Sequence[str],
    finished: Sequence[str],
    settings: Mapping[str, Any],
    folder: str | Path,
) -> None:
    """Collect, compare and judge what there is; the verdict names what is missing.

    Parameters
    ----------
    metrics, inference, finished : sequence of path
        As in `tables.write`, of the whole grid; those that do not exist yet are left out.
    settings : mapping
        As in `verdict.write`.
    folder : path
        Gets the tables and ``verdict.md``.

    Raises
    ------
    EntrError
        When no cell is finished yet.
    """
    done = _existing(metrics)
    if not done:
        raise EntrError(f"none of the {len(metrics)} cells of this grid is finished yet; ask again later")
    folder = Path(folder)
    path = {name: folder / f"{name}.csv" for name in ("cells", "summary", "runs", "efficiency", "effects", "claims")}
    of_cells = {name: path[name] for name in ("cells", "summary", "runs")}
    tables.write(done, _existing(inference), _existing(finished), settings["control"], **of_cells)
    comparisons = {name: path[name] for name in ("efficiency", "effects")}
    statistics.write(path["cells"], settings["control"], settings["folds"], **comparisons)
    verdict.write(
        path["cells"], **comparisons, runs=path["runs"], settings=settings,
        claims_table=path["claims"], verdict=folder / "verdict.md",
    )  # fmt: skip
    log.info("%d of %d cells are finished; their tables and verdict are in %s", len(done), len(metrics), folder)


def _existing(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if Path(path).exists()]
