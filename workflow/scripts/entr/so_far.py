"""Tables, verdict and curves of the cells that are finished, while a grid still grows."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from entr import pages, records, statistics, tables, verdict
from entr.figures import drawing
from entr.figures.gallery import GALLERY
from entr.figures.results import Results
from entr.guards import EntrError

log = logging.getLogger("entr")

RECORDED = ("history", "steps", "lr_find", "predictions")
"""Files of a finished cell."""
FIGURES = ("fig1", "learning", "fig4", "fig5", "front")
"""What a person who waits looks at."""


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
        Gets the tables, ``verdict.md`` and ``figures``.

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
    recorded = {name: [Path(one).with_name(f"{name}.csv") for one in done] for name in RECORDED}
    of_records = {name: folder / f"{name}.csv" for name in ("history", "steps", "lr_find", "confusions")}
    records.write(**recorded, tables=of_records)
    draw(folder, settings)
    log.info(
        "%d of %d cells are finished; their tables, verdict and figures are in %s", len(done), len(metrics), folder
    )


def draw(folder: Path, settings: Mapping[str, Any]) -> None:
    """Draw what can be seen of a growing grid from the tables in a folder into ``figures`` within it."""
    shared = {name: settings[name] for name in ("datasets", "models", "regimes", "control", "basis")}
    library = folder / "figures" / "vega.js"
    pages.bundle(library)
    for name in FIGURES:
        paths = [folder / f"{table}.csv" for table in GALLERY[name].tables]
        drawing.draw(name, asdict(GALLERY[name]), Results.read(paths, **shared), library=library, folder=library.parent)


def _existing(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if Path(path).exists()]
