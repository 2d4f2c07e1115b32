"""Reading the files of finished cells, which are verified by the checksums in ``metrics.json``.

A cell writes ``metrics.json`` last, by `cell_metrics.Metrics.to_json`. This module is separate from that one, so that
a change of how files are read makes no cell stale.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from entr.config.training import Match
from entr.config.training_plan import Plan
from entr.jobs.errors import EntrError
from entr.jobs.files import sha256
from entr.jobs.tables import damaged_file
from entr.metrics.cell_metrics import METRICS_FILE, Metrics, content_checksum


def read_metrics(path: str | Path) -> Metrics:
    """Read and verify the metrics of a finished cell.

    Parameters
    ----------
    path : path
        The ``metrics.json`` of the cell.

    Raises
    ------
    EntrError
        If the file is damaged, or is from an earlier version.
    """
    content = read_content(path)
    try:
        return Metrics.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise damaged_file(path, f"{key}: {first['msg']}") from error


def is_finished(path: str | Path, plan: Plan, match: Match) -> bool:
    """Return whether a cell is finished and was trained as it is configured now.

    Parameters
    ----------
    path : path
        The ``metrics.json`` of the cell, which may be missing or damaged.
    plan : Plan
        The configured training plan.
    match : {"epochs", "time"}
        What the regimes have in common.
    """
    try:
        trained = Plan.model_validate(read_content(path).get("plan"))
    except (FileNotFoundError, EntrError, ValidationError):
        return False
    return trained == with_fitted_epochs(plan, trained, match)


def with_fitted_epochs(plan: Plan, trained: Plan, match: Match) -> Plan:
    """Return a configured plan with the epochs of a finished cell, if they are fitted to a training time.

    Parameters
    ----------
    plan, trained : Plan
        The configured plan, and that of the finished cell.
    match : {"epochs", "time"}
        What the regimes have in common.
    """
    epochs = {phase.phase: phase.epochs for phase in trained.phases}
    is_fitted = match == "time" and epochs.keys() == {phase.phase for phase in plan.phases}
    return plan.with_epochs(epochs) if is_fitted else plan


def read_content(path: str | Path) -> dict[str, Any]:
    """Read a ``metrics.json`` of any version, and verify it if it records the checksum of its content.

    Raises
    ------
    EntrError
        If the file is damaged.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise damaged_file(path, error) from error
    if not isinstance(content, dict):
        raise damaged_file(path, "it is not a JSON object")
    if "checksums" in content:
        recorded = content["checksums"]
        if not isinstance(recorded, dict) or recorded.get(METRICS_FILE) != content_checksum(content):
            raise damaged_file(path, "its content does not match the checksum in it")
    return content


def verify_files(paths: Iterable[str | Path]) -> None:
    """Compare files of finished cells with the checksums in the ``metrics.json`` beside them.

    Parameters
    ----------
    paths : iterable of path
        Files in the directories of cells.

    Raises
    ------
    EntrError
        If a file or its ``metrics.json`` is missing or damaged, or if its checksum is not recorded.
    """
    if unrecorded := unrecorded_files(paths):
        path = unrecorded[0]
        raise EntrError(
            f"{path} cannot be verified, because {METRICS_FILE} beside it is from an earlier version and records no "
            f"checksums; delete the directory {path.parent} and run again: only that cell is retrained"
        )


def unrecorded_files(paths: Iterable[str | Path]) -> list[Path]:
    """Verify files as `verify_files` does, and return those whose checksum an earlier version did not record.

    Raises
    ------
    EntrError
        If a file or its ``metrics.json`` is missing or damaged.
    """
    by_cell: dict[Path, list[Path]] = defaultdict(list)
    for path in map(Path, paths):
        by_cell[path.parent].append(path)
    unrecorded = []
    for folder, files in by_cell.items():
        for path in (folder / METRICS_FILE, *files):
            if not path.exists():
                raise damaged_file(path, "it is missing")
        recorded = read_content(folder / METRICS_FILE).get("checksums", {})
        for path in files:
            if path.name not in recorded:
                unrecorded.append(path)
            elif path.name != METRICS_FILE and recorded[path.name] != sha256(path):
                raise damaged_file(path, f"its content does not match the checksum in {METRICS_FILE}")
    return unrecorded
