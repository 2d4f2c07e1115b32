"""Runtime estimate of a grid before it is run: a few steps of each kind are timed and extrapolated."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from entr.benchmark import inference
from entr.benchmark.unit_times import UnitTimes, measure_unit_times
from entr.config.training import Match
from entr.config.training_plan import Plan
from entr.devices import torch_device
from entr.figures.catalogue import CATALOGUE
from entr.jobs.paths import cell_of
from entr.jobs.tables import write_table
from entr.metrics.cell_files import is_finished
from entr.training.clock import Clock
from entr.training.resize import PackedImages

log = logging.getLogger("entr")

JOBS_IN_SEQUENCE = 12
"""Jobs that make tables, report and exported models, the export counted fourfold; the others wait for one another."""
SECONDS_PER_JOB = 3
"""Duration of each of them: mostly the start of a process."""
SECONDS_PER_FIGURE = 4
"""Duration of the job of a figure on one core."""
CALLS_FOR_BLOCKS = 2
"""Calls by which the inference benchmark finds out how many make a block."""


def seconds_by_regime(
    units: UnitTimes, plans: Mapping[str, Plan], control: str, match: Match
) -> dict[str, dict[str, float]]:
    """Return the seconds of a cell of each regime by part.

    Parameters
    ----------
    units : UnitTimes
        Of the dataset and model.
    plans : mapping of str to Plan
        Training plans by regime, as configured.
    control : str
        The control.
    match : {"epochs", "time"}
        With `time`, all regimes are trained for as long as the control. Their epochs, and the validation after each,
        change by the same factor.
    """
    seconds = {regime: units.seconds_of(plan) for regime, plan in plans.items()}
    if match == "epochs":
        return seconds
    target = seconds[control]["training"] + seconds[control]["resize"]
    for parts in seconds.values():
        factor = (target - parts["resize"]) / parts["training"]
        parts["training"] *= factor
        parts["validation"] *= factor
    return seconds


def seconds_after_training(cores: int) -> float:
    """Return the seconds of tables, figures, report and exported models, with a job per core."""
    return JOBS_IN_SEQUENCE * SECONDS_PER_JOB + -(-len(CATALOGUE) // cores) * SECONDS_PER_FIGURE


def benchmark_seconds(units: UnitTimes, plans: Sequence[Plan], batch_sizes: Sequence[int], min_seconds: float) -> float:
    """Return the seconds of the inference benchmark of a model, without the start of its two jobs.

    Parameters
    ----------
    units : UnitTimes
        Of the model and one dataset.
    plans : sequence of Plan
        One per regime.
    batch_sizes, min_seconds
        The section ``inference`` of the configuration.
    """
    sizes = {size for plan in plans for phase in plan.phases for size in phase.input_sizes()}
    sizes |= {size for plan in plans for size in (plan.tta_size, plan.training.full_size)}
    untrained = [units.forward_seconds(size) * images for size in sizes for images in batch_sizes]
    trained = [units.forward_seconds(plan.phases[-1].size) for plan in plans]
    return sum(_seconds_of_case(latency, min_seconds) for latency in (*untrained, *trained))


def _seconds_of_case(latency: float, min_seconds: float) -> float:
    """Return the seconds that `inference` spends on a model, image size and batch size with this latency."""
    single_calls = max(min_seconds / inference.ROUNDS, inference.MIN_CALLS * latency)
    back_to_back = max(min_seconds / inference.ROUNDS, latency) + CALLS_FOR_BLOCKS * latency
    return inference.ROUNDS * (inference.WARM_UP_CALLS * latency + single_calls + back_to_back)


def write_estimate(
    metrics: Iterable[str | Path],
    plans: Mapping[str, Mapping[str, Mapping[str, Any]]],
    *,
    pixels: Mapping[str, str],
    manifest: Mapping[str, str],
    split: Mapping[str, str],
    weights: Mapping[str, str],
    batch_sizes: Sequence[int],
    min_seconds: float,
    control: str,
    match: Match,
    table: str | Path,
) -> None:
    """Estimate the runtime of every cell that is not finished, and log the sum.

    Parameters
    ----------
    metrics : iterable of path
        Where the metrics of each cell of the grid are, or will be.
    plans : mapping
        How cells are trained, by dataset and regime, as JSON values.
    pixels, manifest, split : mapping of str to path
        Files of each dataset.
    weights : mapping of str to path
        Pretrained weights by model, if there are any.
    batch_sizes, min_seconds
        The section ``inference`` of the configuration.
    control, match : str
        Keys of the configuration.
    table : path
        CSV file with one row per unfinished cell: its parts and their sum in seconds.
    """
    # the imports of this job take as long as those of a cell
    imports = Clock.from_process_start(torch.device("cpu")).seconds["starting"]
    configured = {
        (dataset, regime): Plan.model_validate(plan)
        for dataset, by_regime in plans.items()
        for regime, plan in by_regime.items()
    }
    cells = [(path, cell_of(path)) for path in metrics]
    unfinished = [
        cell for path, cell in cells if not is_finished(path, configured[cell["dataset"], cell["regime"]], match)
    ]
    rows: list[dict[str, Any]] = []
    after_training = seconds_after_training(torch.get_num_threads())
    for dataset, model in sorted({(cell["dataset"], cell["model"]) for cell in unfinished}):
        by_regime = {regime: configured[dataset, regime] for regime in plans[dataset]}
        device = torch_device.choose_device(next(iter(by_regime.values())).training.device)
        packed = PackedImages.open(pixels[dataset], manifest[dataset], split[dataset])
        units = measure_unit_times(dataset, model, list(by_regime.values()), packed, weights.get(model), device)
        after_training += benchmark_seconds(units, list(by_regime.values()), batch_sizes, min_seconds)
        seconds = seconds_by_regime(units, by_regime, control, match)
        for cell in unfinished:
            if (cell["dataset"], cell["model"]) == (dataset, model):
                parts = dict(seconds[cell["regime"]])
                parts["starting"] += imports
                plan = by_regime[cell["regime"]].digest
                rows.append(cell | parts | {"seconds": sum(parts.values()), "plan": plan})
    estimate = pd.DataFrame(rows)
    write_table(estimate, table)
    _log_estimate(estimate, len(cells), after_training, table)


def _log_estimate(estimate: pd.DataFrame, n_cells: int, after_training: float, table: str | Path) -> None:
    if not len(estimate):
        log.info("all %d cells are finished", n_cells)
        return
    for (dataset, model), group in estimate.groupby(["dataset", "model"]):
        mean = _duration(np.mean(group["seconds"]))
        log.info("%s %s: %d cells, %s each on average", dataset, model, len(group), mean)
    log.info(
        "%d of %d cells are not finished: %s on one device, and %s for benchmarks, tables and figures; several GPUs "
        "share the cells. Each cell is listed in %s",
        *(len(estimate), n_cells, _duration(estimate["seconds"].sum()), _duration(after_training), table),
    )


def _duration(seconds: float) -> str:
    return f"{timedelta(seconds=round(seconds))!s} h"
