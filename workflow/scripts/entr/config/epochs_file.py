"""The file `results/epochs/<dataset>/<model>.yaml`: the epochs with which all regimes are trained for the same time."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from entr.jobs.files import atomic_write

Epochs = dict[str, int]
"""Number of epochs by phase."""


def write_epochs(path: str | Path, epochs: Mapping[str, Epochs]) -> None:
    """Write the numbers of epochs by regime and phase."""
    with atomic_write(path) as file:
        yaml.safe_dump(dict(epochs), file, sort_keys=False)


def read_epochs(path: str | Path, regime: str) -> Epochs:
    """Return the numbers of epochs of a regime by phase."""
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))[regime]
