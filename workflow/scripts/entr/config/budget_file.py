"""The file that records the part of the grid that fits into a budget.

It is apart from `budget`, so that a changed check of the configuration does not change the digest of the rule that
writes it.
"""

from pathlib import Path

import psutil
import yaml

from entr.config.base import FrozenModel
from entr.jobs.files import atomic_write

STARTED_AT = "ENTR_STARTED_AT"
"""Environment variable with the start of the run that the budget limits, in seconds since the epoch."""
HEADER = "# The grid that fits into `hours`. Delete this file to measure and choose again.\n"


class BudgetGrid(FrozenModel):
    """The part of a grid that a budget chooses."""

    models: tuple[str, ...]
    regimes: tuple[str, ...]
    seeds: tuple[int, ...]
    scale: float


class Budget(FrozenModel):
    """What fits into a number of hours: the content of ``results/budget.yaml``."""

    configuration: str
    """Digest of the configuration, see `budget.configuration_digest`."""
    images: str
    """Digest of the names, sizes and modification times of the user's images."""
    hours: float
    """The budget."""
    expected_hours: float
    """Hours that the whole run takes with this grid; if nothing fits, with the smallest one."""
    grid: BudgetGrid | None
    """The grid that fits, or None if nothing does."""
    left_out: tuple[str, ...] = ()
    """What does not fit, with the hours that the run would take."""


def process_start() -> float:
    """Return when this process started, in seconds since the epoch."""
    return psutil.Process().create_time()


def write_budget(budget: Budget, path: str | Path) -> None:
    """Write a budget as YAML."""
    with atomic_write(path) as file:
        file.write(HEADER + yaml.safe_dump(budget.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
