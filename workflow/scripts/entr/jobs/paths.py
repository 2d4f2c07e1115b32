"""Locations of the library, its scripts, templates and repository, and of the results of a cell."""

import re
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
SCRIPTS = PACKAGE.parent
TEMPLATES = SCRIPTS.parent / "report"
REPOSITORY = SCRIPTS.parents[1]

CELL = "results/cells/{dataset}/{model}/{regime}/seed{seed}"
"""Directory of a cell, a pattern of Snakemake wildcards."""
_CELL = re.compile(r"(?P<dataset>[^/]+)/(?P<model>[^/]+)/(?P<regime>[^/]+)/seed(?P<seed>\d+)")


def cell_of(path: str | Path) -> dict[str, Any]:
    """Return the dataset, model, regime and seed of the cell to which a file belongs.

    Parameters
    ----------
    path : path
        A file in the directory of a cell.

    Raises
    ------
    ValueError
        If the file is not in the directory of a cell.
    """
    match = _CELL.fullmatch("/".join(Path(path).parts[-5:-1]))
    if not match:
        raise ValueError(f"{path} is not in the directory of a cell")
    return match.groupdict() | {"seed": int(match["seed"])}
