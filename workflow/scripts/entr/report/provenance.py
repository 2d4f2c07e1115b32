"""Provenance of a finished run: its configuration, code, machine and software, in ``results/provenance.json``."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from entr.jobs.errors import EntrError
from entr.jobs.files import atomic_write
from entr.jobs.paths import REPOSITORY, cell_of
from entr.jobs.tables import damaged_file, read_table
from entr.metrics.labels import CELL

FILE = "provenance.json"
MACHINE = ("device", "device_type", "threads", "driver", "precision", "python", "torch", "torchvision", "fastai")
"""Columns of the table of cells that describe the machine and the software of a cell."""
GIT_TIMEOUT = 30
"""Seconds after which the state of the git repository counts as unknown."""


class _Record(BaseModel):
    """A part of the file; keys of later versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Commit(_Record):
    """The git commit of the workflow when the run finished."""

    id: str
    """Hexadecimal identifier."""
    modified: bool
    """Whether tracked files differed from the commit."""


class Provenance(_Record):
    """What a run was made with."""

    version: str
    """Version of the workflow."""
    commit: Commit | None
    """None if the workflow is not in a git repository of its own."""
    started: datetime | None
    """Start of the first cell, or None if the cells were copied from an archive."""
    finished: datetime
    """Time of the last result."""
    configuration: dict[str, Any]
    """The whole configuration, without local paths and credentials."""
    code: dict[str, str]
    """Digest of the code of each rule, without the rules that fetch images: checksums identify these."""
    machines: tuple[dict[str, str], ...]
    """The different machines and software environments of the cells, by the columns of ``tables/cells.csv``."""
    platform: str
    """Operating system of the analysis."""
    packages: dict[str, str]
    """Version of each Python package in the environment of the analysis."""


def write_provenance(
    cells: str | Path,
    results: Iterable[str | Path],
    *,
    metrics: Iterable[str | Path] | None,
    configuration: Mapping[str, Any],
    code: Mapping[str, str],
    citation: str,
    destination: str | Path,
    repository: Path = REPOSITORY,
) -> None:
    """Record the provenance of a finished run.

    Parameters
    ----------
    cells : path
        The table of cells.
    results : iterable of path
        The last results; the latest modification time is the end of the run.
    metrics : iterable of path or None
        Files ``metrics.json`` of all cells. The start of the run is the earliest start of a cell, that is its
        modification time minus its wall time. None if the cells were copied from an archive, so that the start is
        unknown.
    configuration : mapping
        The configuration without local paths.
    code : mapping
        Digest of the code of each rule.
    citation : str
        Text of ``CITATION.cff``, which states the version.
    destination : path
        The JSON file.
    repository : path
        Directory of the workflow.

    Raises
    ------
    EntrError
        If the table of cells is damaged.
    """
    table = read_table(cells)
    machines = table[list(MACHINE)].astype(str).drop_duplicates()
    provenance = Provenance(
        version=str(yaml.safe_load(citation)["version"]),
        commit=current_commit(repository),
        started=None if metrics is None else _start_of_first_cell(table, metrics),
        finished=_utc(max(Path(path).stat().st_mtime for path in [cells, *results])),
        configuration=dict(configuration),
        code=dict(code),
        machines=tuple({str(name): value for name, value in row.items()} for row in machines.to_dict("records")),
        platform=platform.platform(),
        packages=installed_packages(),
    )
    with atomic_write(destination) as file:
        file.write(provenance.model_dump_json(indent=2) + "\n")


def read_provenance(results: str | Path) -> Provenance | None:
    """Return the provenance of a run, or None if an earlier version of the workflow did not record it.

    Parameters
    ----------
    results : path
        The folder ``results`` of a run.

    Raises
    ------
    EntrError
        If the file is damaged.
    """
    path = Path(results, FILE)
    if not path.exists():
        return None
    try:
        return Provenance.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise damaged_file(path, error.errors()[0]["msg"]) from error


def current_commit(repository: Path) -> Commit | None:
    """Return the commit that is checked out, or None if the directory is not the root of a git repository.

    Parameters
    ----------
    repository : path
        Directory of the workflow. A repository in which it is only a subdirectory does not count.
    """
    try:
        if Path(_git(repository, "rev-parse", "--show-toplevel").strip()).resolve() != repository.resolve():
            return None
        commit = _git(repository, "rev-parse", "HEAD").strip()
        return Commit(id=commit, modified=bool(_git(repository, "status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.SubprocessError):
        return None


def _git(repository: Path, *arguments: str) -> str:
    program = shutil.which("git")
    if program is None:
        raise FileNotFoundError("git")
    # variables of git, as in a hook, would name another repository
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(  # noqa: S603  no shell, arguments from this module
        [program, "-C", str(repository), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=GIT_TIMEOUT,
        env=environment,
    ).stdout


def _start_of_first_cell(cells: pd.DataFrame, metrics: Iterable[str | Path]) -> datetime:
    wall = cells.set_index(CELL)["seconds_wall"]
    ends = {tuple(cell_of(path).values()): Path(path).stat().st_mtime for path in metrics}
    starts = [end - wall[cell] for cell, end in ends.items() if cell in wall.index]
    if not starts:
        raise EntrError("no cell is finished; run the workflow first")
    return _utc(min(starts))


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def installed_packages() -> dict[str, str]:
    """Return the version of each installed Python package, by its normalised name."""
    found = {re.sub(r"[-_.]+", "-", one.metadata["Name"] or "").lower(): one.version for one in distributions()}
    return dict(sorted(found.items()))
