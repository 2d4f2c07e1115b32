"""The budget of a run: the part of the grid that fits into `hours`."""

import hashlib
import json
import os
from pathlib import Path

import yaml

from entr.config.budget_file import STARTED_AT, Budget, BudgetGrid
from entr.config.schema import Config
from entr.jobs.errors import EntrError

SCALES = (0.4, 0.6, 0.8, 1.0)
"""Scales that a budget tries if they are larger than the configured one."""


def grid_of(config: Config) -> BudgetGrid:
    """Return the grid and scale of a configuration."""
    grid = config.grid
    return BudgetGrid(models=grid.models, regimes=grid.regimes, seeds=grid.seeds, scale=config.scale)


def is_requested_by_a_run() -> bool:
    """Tell whether a run that has a budget started this process to choose its grid."""
    return STARTED_AT in os.environ


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


def configuration_digest(config: Config) -> str:
    """Return a digest of everything in the configuration that the choice depends on, apart from the images."""
    plain = config.without_local_paths()
    for key in ("download", "logger", "recommend"):
        del plain[key]
    text = json.dumps(plain | {"hours": config.hours}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def at_scales(config: Config) -> dict[float, Config]:
    """Return the configuration at its own scale and at all larger ones that a budget tries, in ascending order."""
    scales = [config.scale, *(scale for scale in SCALES if scale > config.scale)]
    return {scale: config.model_copy(update={"scale": scale}) for scale in scales}


def within_budget(config: Config, budget: Budget | None) -> Config:
    """Return the configuration with the grid and scale that fit, or unchanged if there is no budget.

    Raises
    ------
    EntrError
        If nothing fits.
    """
    if budget is None:
        return config
    if budget.grid is None:
        raise EntrError(_too_little(budget))
    chosen = budget.grid.model_dump()
    scale = chosen.pop("scale")
    return config.model_copy(update={"grid": config.grid.model_copy(update=chosen), "scale": scale})


def describe(config: Config, budget: Budget | None) -> list[str]:
    """Return sentences about what fits into the budget and what does not; none if `hours` is not set.

    Parameters
    ----------
    config : Config
        The configuration before the budget is applied.
    budget : Budget or None
        None if no grid is chosen yet.
    """
    if config.hours is None:
        return []
    if budget is None:
        return [
            f"budget of {config.hours:g} h: the grid that fits is chosen when the run starts, from measured training "
            "steps; until then, the grid is that of the configuration"
        ]
    if budget.grid is None:
        return [_too_little(budget)]
    grid = budget.grid
    counts = [_count(len(grid.regimes), "regime"), _count(len(grid.seeds), "seed")]
    parts = [*grid.models, f"scale {grid.scale:g}", *counts]
    lines = [f"budget of {budget.hours:g} h: {', '.join(parts)}; about {budget.expected_hours:.2g} h in total"]
    if budget.left_out:
        lines.append(f"does not fit into the budget: {', '.join(budget.left_out)}")
    return lines


def _too_little(budget: Budget) -> str:
    return (
        f"hours: {budget.hours:g} h are too few for these images on this machine: even the smallest grid takes about "
        f"{budget.expected_hours:.2g} h; raise hours, or use fewer images"
    )


def read_budget(path: str | Path, config: Config, images: str | None = None) -> Budget | None:
    """Return the recorded budget, or None if there is none for this configuration and these images.

    Parameters
    ----------
    path : path
        The file of `write_budget`.
    config : Config
        The configuration before the budget is applied.
    images : str, optional
        Digest of the images; by default, they are not compared.

    Raises
    ------
    EntrError
        If the file is damaged.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return None
    try:
        budget = Budget.model_validate(yaml.safe_load(content))
    except (yaml.YAMLError, ValueError) as error:
        raise EntrError(f"{path} is damaged; delete it, so that the grid is chosen again") from error
    is_current = budget.configuration == configuration_digest(config) and images in {None, budget.images}
    return budget if is_current else None
