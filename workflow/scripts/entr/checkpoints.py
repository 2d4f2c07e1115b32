"""What a killed cell has finished: one file, whole or not there, that only the same cell goes on from."""

import io
import json
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from entr.guards import atomic_write

log = logging.getLogger("entr")

IDENTITY, RECORDS = "identity", "records"
DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)
"""What reading a file raises that was cut short or changed; each array in it carries a checksum."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a cell keeps what it has finished.

    Parameters
    ----------
    path : Path
        A NumPy archive: arrays by name, and two texts in JSON, what the checkpoint belongs to and
        what was recorded.
    identity : mapping of str to str
        What must be the same for a cell to go on, by what a person calls it: configuration, code,
        data, weights, machine.
    """

    path: Path
    identity: Mapping[str, str]

    def save(self, arrays: Mapping[str, NDArray], records: Mapping[str, Any]) -> None:
        """Replace what was kept, in one step.

        Raises
        ------
        OSError
            When the disk is full or cannot be written to; what was kept before stays.
        """
        texts = {IDENTITY: dict(self.identity), RECORDS: dict(records)}
        with atomic_write(self.path, "wb") as file:
            np.savez(file, **{f"array {name}": array for name, array in arrays.items()}, **_encoded(texts))

    def load(self) -> tuple[dict[str, NDArray], dict[str, Any]] | None:
        """Return arrays and records, or None when there is nothing to go on from; says why."""
        if not self.path.exists():
            return None
        try:
            content = io.BytesIO(self.path.read_bytes())
            with np.load(content, allow_pickle=False) as file:
                identity, records = _decoded(file, IDENTITY), _decoded(file, RECORDS)
                arrays = {
                    name.removeprefix("array "): file[name] for name in file.files if name not in {IDENTITY, RECORDS}
                }
        except DAMAGED as error:
            log.warning("%s is damaged (%s); starting from the beginning", self.path, error)
            return None
        other = [what for what in self.identity if identity.get(what) != self.identity[what]]
        if other:
            log.warning("%s is of another %s; starting from the beginning", self.path, " and ".join(other))
            return None
        return arrays, records

    def remove(self) -> None:
        """Forget what was kept."""
        self.path.unlink(missing_ok=True)


def recorded(path: str | Path) -> dict[str, Any] | None:
    """Return what a cell recorded until it kept its state, or None where nothing whole is kept."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return _decoded(file, RECORDS)
    except DAMAGED:
        return None


def _decoded(file: Mapping[str, NDArray], name: str) -> dict[str, Any]:
    return json.loads(file[name].tobytes())


def _encoded(texts: Mapping[str, Any]) -> dict[str, NDArray[np.uint8]]:
    return {name: np.frombuffer(json.dumps(text).encode(), np.uint8) for name, text in texts.items()}
