"""The hours of a run with any grid, from steps that are timed on a sample of the images, and the grid that fits."""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from entr.benchmark.runtime_estimate import (
    SECONDS_PER_JOB,
    benchmark_seconds,
    seconds_after_training,
    seconds_by_regime,
)
from entr.benchmark.unit_times import UnitTimes, measure_unit_times
from entr.config.budget_choice import choose_grid, reductions
from entr.config.budget_file import STARTED_AT, Budget, BudgetGrid, process_start, write_budget
from entr.config.training import Match
from entr.config.training_plan import Plan
from entr.data.sample import ImageSample, downscale_sample
from entr.devices import torch_device
from entr.jobs.durations import SECONDS_PER_HOUR
from entr.jobs.errors import EntrError
from entr.training.clock import Clock
from entr.training.resize import PackedImages

log = logging.getLogger("entr")

SAMPLE = 256
"""Images of a dataset on which steps are timed."""
VALIDATION_SHARE = 4
"""One in so many images of the sample is predicted, the others are trained on."""
SECONDS_PER_PAIR = 9e-8
"""Seconds of the search for near-duplicates per pair of images: 15 minutes for 100,000 images on one core."""

Plans = Mapping[float, Mapping[str, Mapping[str, Plan]]]
"""Training plans by scale, dataset and regime."""


@dataclass
class RunEstimate:
    """Estimate of the hours of a whole run with any grid.

    Parameters
    ----------
    started : float
        When the run started, by `time.perf_counter`.
    plans : mapping
        Training plans by scale, dataset and regime.
    samples : mapping
        Downscaled sample of the images of each dataset.
    measure : callable
        Measures the unit times of a dataset, model and scale; called once for each that is needed.
    imports : float
        Seconds from the start of a process until the packages of a cell are imported.
    cores : int
        Jobs that run at a time after training.
    control, match : str
        Keys of the configuration.
    batch_sizes, min_seconds
        The section ``inference`` of the configuration.
    """

    started: float
    plans: Plans
    samples: Mapping[str, ImageSample]
    measure: Callable[[str, str, float], UnitTimes]
    imports: float
    cores: int
    control: str
    match: Match
    batch_sizes: Sequence[int]
    min_seconds: float
    units: dict[tuple[str, str, float], UnitTimes] = field(default_factory=dict)

    def hours(self, grid: BudgetGrid) -> float:
        """Return the hours of the whole run, including the time that has passed."""
        seconds = self._preparation(grid)
        for model in grid.models:
            for dataset in self.samples:
                plans = {regime: self.plans[grid.scale][dataset][regime] for regime in grid.regimes}
                units = self.unit_times(dataset, model, grid.scale)
                by_regime = seconds_by_regime(units, plans, self.control, self.match)
                cells = [self.imports + sum(parts.values()) for parts in by_regime.values()]
                seconds += len(grid.seeds) * sum(cells)
                seconds += benchmark_seconds(units, list(plans.values()), self.batch_sizes, self.min_seconds)
                # the two jobs of the benchmark start like a cell
                seconds += 2 * (self.imports + units.start)
        seconds += seconds_after_training(self.cores)
        return (time.perf_counter() - self.started + seconds) / SECONDS_PER_HOUR

    def unit_times(self, dataset: str, model: str, scale: float) -> UnitTimes:
        """Return the unit times of a dataset, model and scale, measured when first needed."""
        key = dataset, model, scale
        if key not in self.units:
            self.units[key] = self.measure(*key)
        return self.units[key]

    def _preparation(self, grid: BudgetGrid) -> float:
        """Return the seconds from the choice of the grid until the first cell starts."""
        # to plan the run
        seconds = float(SECONDS_PER_JOB)
        for sample in self.samples.values():
            seconds += sample.files * sample.seconds_per_file + SECONDS_PER_PAIR * sample.files**2
            # to downscale, to pack and to split
            seconds += SECONDS_PER_JOB * (2 + -(-len(grid.seeds) // self.cores))
        return seconds


def fit_budget(
    destination: str | Path,
    *,
    hours: float | None,
    grid: Mapping[str, Any],
    control: str,
    match: Match,
    plans: Mapping[float, Mapping[str, Mapping[str, Mapping[str, Any]]]],
    images: Mapping[str, Any],
    split: Mapping[str, Any],
    inference: Mapping[str, Any],
    configuration: str,
    listing: str,
    originals: Mapping[str, str],
    weights: Mapping[str, str],
    cores: int,
) -> None:
    """Choose the grid that fits into a budget, and write it.

    Parameters
    ----------
    destination : path
        YAML file, see `config.budget_file.Budget`.
    hours : float
        The budget of the whole run, which started at `STARTED_AT`.
    grid : mapping
        The configured grid, a `config.budget_file.BudgetGrid` as JSON values.
    control : str
        The regime that is not left out.
    match : {"epochs", "time"}
        What the regimes have in common.
    plans : mapping
        How cells are trained, by scale, dataset and regime, as JSON values; the configured scale is the smallest.
    images : mapping
        How images are downscaled at the largest scale.
    split, inference : mapping
        Sections of the configuration.
    configuration, listing : str
        Digests of the configuration and of the images.
    originals, weights : mapping of str to path
        Original images by dataset, and pretrained weights by model, if there are any.
    cores : int
        Cores of the run.

    Raises
    ------
    EntrError
        If there is no budget, or if a dataset has no usable images.
    """
    if hours is None:
        raise EntrError("fit_budget needs a budget; add --config hours=2, for example")
    # the imports of this job take as long as those of a cell
    imports = Clock.from_process_start(torch.device("cpu")).seconds["starting"]
    # only here by the system clock, because the run may have started on another machine
    passed = max(0.0, time.time() - float(os.environ.get(STARTED_AT, process_start())))
    started = time.perf_counter() - passed
    configured = BudgetGrid.model_validate(grid)
    by_scale = {
        scale: {
            dataset: {regime: Plan.model_validate(plan) for regime, plan in by_regime.items()}
            for dataset, by_regime in by_dataset.items()
        }
        for scale, by_dataset in plans.items()
    }
    with ExitStack() as stack:
        samples = {
            dataset: downscale_sample(
                path, images, SAMPLE, cores, stack.enter_context(tempfile.TemporaryDirectory(prefix="entr-"))
            )
            for dataset, path in originals.items()
        }
        anyone = next(iter(by_scale[configured.scale][next(iter(samples))].values()))
        device = torch_device.choose_device(anyone.training.device)

        def measure(dataset: str, model: str, scale: float) -> UnitTimes:
            begin = time.perf_counter()
            all_plans = list(by_scale[scale][dataset].values())
            packed = _packed(samples[dataset])
            units = measure_unit_times(dataset, model, all_plans, packed, weights.get(model), device)
            log.info("%s %s at scale %g: measured in %.0f s", dataset, model, scale, time.perf_counter() - begin)
            return _for_all_images(units, samples[dataset], **split)

        estimate = RunEstimate(started, by_scale, samples, measure, imports, cores, control, match, **inference)
        scales = [scale for scale in by_scale if scale > configured.scale]
        chosen, left_out = choose_grid(configured, control, scales, estimate.hours, hours)
        first = configured.model_copy(update={"models": configured.models[:1]})
        expected = estimate.hours(chosen or list(reductions(first, control))[-1])
    budget = Budget(
        configuration=configuration,
        images=listing,
        hours=hours,
        expected_hours=expected,
        grid=chosen,
        left_out=tuple(left_out),
    )
    write_budget(budget, destination)


def _packed(sample: ImageSample) -> PackedImages:
    """Return the images of a sample, some of which are for validation."""
    table = sample.manifest
    labels = table["label"].astype("category").cat
    return PackedImages(
        images=torch.from_numpy(np.load(sample.pixels)),
        extents=table[["height", "width"]].to_numpy(),
        classes=labels.codes.to_numpy(),
        validation=np.arange(len(table)) % VALIDATION_SHARE == 0,
        names=tuple(table["image"]),
        labels=tuple(labels.categories),
    )


def _for_all_images(units: UnitTimes, sample: ImageSample, folds: int, test: float) -> UnitTimes:
    """Return the unit times that were measured on a sample for all usable images."""
    images = (1 - test) * sample.usable_fraction * sample.files
    return replace(
        units,
        resize={size: seconds * images / len(sample.manifest) for size, seconds in units.resize.items()},
        training_images=round(images * (1 - 1 / folds)),
        validation_images=round(images / folds),
    )
