"""Check of the machine before a run: everything that it has and the grid needs, in one table."""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from entr.config.schema import Config
from entr.jobs.errors import EntrError
from entr.jobs.paths import cell_of
from entr.jobs.tables import read_table
from entr.metrics.labels import CELL
from entr.preflight import downloads, gpus, machine, slurm, software
from entr.preflight.findings import Finding, render_findings
from entr.preflight.needs import PROCESS_BYTES, GridNeeds, measure_needs, pending_cells

log = logging.getLogger("entr")

ESTIMATE_COMMAND = "snakemake estimate_runtime"


def check_environment(
    settings: Mapping[str, Any],
    *,
    metrics: Sequence[str],
    cores: int,
    partitions: Mapping[str, str | None],
    expected_hours: float | None,
    folder: str | Path,
) -> None:
    """Log what this machine has and the grid needs, and what to do where they do not match.

    Parameters
    ----------
    settings : mapping
        The configuration as JSON values.
    metrics : sequence of str
        Files ``metrics.json`` of all cells.
    cores : int
        Cores that a run uses.
    partitions : mapping
        Partition of SLURM of each rule, or None.
    expected_hours : float, optional
        Hours of the whole run, if a budget has chosen the grid.
    folder : path
        The results.

    Raises
    ------
    EntrError
        If something prevents the run.
    """
    config, results = Config.model_validate(settings), Path(folder)
    findings = find_mismatches(config, metrics, cores, partitions, results)
    pending = pending_cells(config, metrics)
    findings.append(check_time(config, pending, results / "runtime_estimate.csv", expected_hours))
    log.info("%s", render_findings(findings))
    problems = [finding.subject for finding in findings if finding.status == "problem"]
    if problems:
        subjects = ", ".join(dict.fromkeys(problems))
        raise EntrError(f"this machine cannot run the grid: see the remedies above for {subjects}")


def find_mismatches(
    settings: Config, metrics: Sequence[str], cores: int, partitions: Mapping[str, str | None], folder: Path
) -> list[Finding]:
    """Return what is known about each part of the machine, in the order in which it is shown."""
    found, missing = downloads.check_sources(settings, folder)
    try:
        needs = measure_needs(settings, metrics, folder)
    except EntrError as error:
        needs = GridNeeds(cells=len(metrics), finished=0, images=0, training=0, disk=0)
        found.append(Finding("grid", str(error), "problem", "correct the configuration"))
    on_slurm = any(partitions.values())
    return [
        Finding("grid", f"{needs.finished} of {needs.cells} cells finished"),
        software.check_python(),
        software.check_packages(),
        gpus.check_torch(),
        *([] if on_slurm else _check_resources(settings, needs, cores)),
        machine.check_disk(folder, needs.disk, needs.unknown),
        *machine.check_permissions(folder),
        *found,
        *downloads.check_downloads(missing),
        *slurm.check_slurm(partitions),
    ]


def _check_resources(settings: Config, needs: GridNeeds, cores: int) -> list[Finding]:
    """Check GPU, cores and memory, which on a cluster are those of other machines."""
    training = [
        settings.training_of(name, regime) for name in settings.grid.datasets for regime in settings.grid.regimes
    ]
    devices = {one.device for one in training}
    of_gpus = gpus.check_gpus(devices, {one.precision for one in training}, needs.images, needs.training)
    on_gpu = gpus.is_used(devices)
    memory = machine.check_memory(PROCESS_BYTES if on_gpu else needs.memory, on_gpu=on_gpu)
    return [*of_gpus, machine.check_cores(cores), memory]


def check_time(
    settings: Config, pending: Sequence[str], estimate: Path, expected_hours: float | None = None
) -> Finding:
    """Return how long the cells that are not finished will take, if that was measured for this configuration.

    Parameters
    ----------
    settings : Config
        The configuration.
    pending : sequence of str
        Files ``metrics.json`` of the cells that are not finished.
    estimate : Path
        Table of `runtime_estimate.write_estimate`.
    expected_hours : float, optional
        Hours of the whole run, if a budget has chosen the grid.
    """
    if expected_hours is not None:
        return Finding("time", f"about {expected_hours:.2g} h, according to the budget")
    if not pending:
        return Finding("time", "all cells are finished")
    known = read_table(estimate) if estimate.exists() else pd.DataFrame()
    is_known = {*CELL, "plan"} <= {*known}
    seconds = known.set_index([*CELL, "plan"])["seconds"].to_dict() if is_known else {}
    keys = [
        (*(cell[name] for name in CELL), settings.plan(cell["dataset"], cell["regime"]).digest)
        for cell in map(cell_of, pending)
    ]
    if set(keys) <= set(seconds):
        left = timedelta(seconds=round(sum(seconds[key] for key in keys)))
        return Finding("time", f"about {left!s} h on one device ({estimate})")
    return Finding("time", f"not measured; `{ESTIMATE_COMMAND}` times a few training steps")
