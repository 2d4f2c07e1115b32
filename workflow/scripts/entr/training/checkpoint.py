"""Checkpoints of a cell: the weights and the state, in one file that is whole or absent."""

import io
import json
import logging
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from entr.jobs.errors import one_line
from entr.jobs.files import atomic_write
from entr.training.cell_state import CellState

log = logging.getLogger("entr")

IDENTITY, STATE, ARRAY = "identity", "state", "array "
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    ValidationError,
)
"""Exceptions that a truncated or modified file raises; each array in it carries a checksum."""


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of a cell, which only the same cell resumes from.

    Parameters
    ----------
    path : Path
        A NumPy archive with the weights by name, and the identity and the state as JSON.
    identity : mapping of str to str
        What must be unchanged for a cell to resume, by name: configuration, code, data, weights,
        machine.
    """

    path: Path
    identity: Mapping[str, str]

    def save(self, state: CellState, weights: Mapping[str, NDArray]) -> None:
        """Replace the checkpoint in one step.

        Raises
        ------
        OSError
            If the disk is full or not writable; the previous checkpoint stays.
        """
        texts = {IDENTITY: json.dumps(dict(self.identity)), STATE: state.model_dump_json()}
        arrays = {f"{ARRAY}{name}": array for name, array in weights.items()}
        encoded = {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
        with atomic_write(self.path, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays, **encoded)

    def load(self) -> tuple[CellState, dict[str, NDArray]] | None:
        """Return the state and the weights, or None with a line in the log if the cell has to start from scratch."""
        if not self.path.exists():
            return None
        try:
            # read at once, so that a file that is replaced meanwhile is not mixed with another
            with np.load(io.BytesIO(self.path.read_bytes()), allow_pickle=False) as file:
                identity = json.loads(file[IDENTITY].tobytes())
                state = CellState.model_validate_json(file[STATE].tobytes())
                weights = {name.removeprefix(ARRAY): file[name] for name in file.files if name.startswith(ARRAY)}
        except UNREADABLE as error:
            log.warning("%s is damaged (%s); starting from scratch", self.path, one_line(error))
            return None
        changed = [name for name in self.identity if identity.get(name) != self.identity[name]]
        if changed:
            log.warning("%s was written with different %s; starting from scratch", self.path, " and ".join(changed))
            return None
        return state, weights

    def remove(self) -> None:
        """Delete the checkpoint."""
        self.path.unlink(missing_ok=True)


def lock_path(checkpoint: str | Path) -> Path:
    """Return the lock file that a running cell holds, next to its checkpoint."""
    return Path(checkpoint).with_suffix(".lock")


def read_records(path: str | Path) -> dict[str, Any] | None:
    """Return the state in a checkpoint as JSON values, or None if there is no readable checkpoint."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return json.loads(file[STATE].tobytes())
    except UNREADABLE:
        return None
