"""Training of all regimes for the same time: the numbers of epochs with which *T* equals that of the control."""

import logging
from collections.abc import Mapping
from itertools import product
from math import ceil, floor
from pathlib import Path
from typing import Any

from entr.benchmark.unit_times import UnitTimes, measure_unit_times
from entr.config.epochs_file import Epochs, write_epochs
from entr.config.training_plan import Plan
from entr.devices import torch_device
from entr.training.resize import PackedImages

log = logging.getLogger("entr")

MIN_SECONDS = 1.0
"""Minimum time for measuring the steps of each kind, because *T* should be equal within a few percent."""


def training_seconds(units: UnitTimes, plan: Plan) -> float:
    """Return the estimated *T* of a plan in seconds: training steps and the resizing that they need."""
    parts = units.seconds_of(plan)
    return parts["training"] + parts["resize"]


def fit_epochs(units: UnitTimes, plan: Plan, seconds: float) -> Epochs:
    """Return the numbers of epochs with which the estimated *T* of a plan is closest to a number of seconds.

    All phases are extended or shortened by the same factor. Then each is rounded up or down, whichever combination
    comes closest.

    Parameters
    ----------
    units : UnitTimes
        Measured times of the dataset and model.
    plan : Plan
        The plan, whose phases keep at least one epoch.
    seconds : float
        The *T* to reach.
    """
    parts = units.seconds_of(plan)
    # a stretched plan has the same mean cost per epoch, apart from rounding
    factor = max(0.0, (seconds - parts["resize"]) / parts["training"])
    choices = [
        sorted({max(1, floor(factor * phase.epochs)), max(1, ceil(factor * phase.epochs))}) for phase in plan.phases
    ]
    names = [phase.phase for phase in plan.phases]
    candidates = (dict(zip(names, counts, strict=True)) for counts in product(*choices))
    return min(candidates, key=lambda epochs: abs(training_seconds(units, plan.with_epochs(epochs)) - seconds))


def fit_regimes(units: UnitTimes, plans: Mapping[str, Plan], control: str) -> dict[str, Epochs]:
    """Return the numbers of epochs of each regime with which its estimated *T* equals that of the control."""
    seconds = training_seconds(units, plans[control])
    return {
        regime: {phase.phase: phase.epochs for phase in plan.phases}
        if regime == control
        else fit_epochs(units, plan, seconds)
        for regime, plan in plans.items()
    }


def fit_and_write(
    destination: str | Path,
    plans: Mapping[str, Mapping[str, Any]],
    control: str,
    *,
    dataset: str,
    model: str,
    pixels: str | Path,
    manifest: str | Path,
    split: str | Path,
    weights: str | None,
) -> None:
    """Fit and write the numbers of epochs of each regime, by regime and phase.

    Parameters
    ----------
    destination : path
        YAML file.
    plans : mapping
        How cells are trained, by regime, as JSON values.
    control : str
        The regime whose *T* the others are to have.
    dataset, model : str
        The dataset and model.
    pixels, manifest, split : path
        Files of the dataset.
    weights : path or None
        Pretrained weights of the model, if there are any.
    """
    by_regime = {regime: Plan.model_validate(plan) for regime, plan in plans.items()}
    device = torch_device.choose_device(by_regime[control].training.device)
    packed = PackedImages.open(pixels, manifest, split)
    units = measure_unit_times(dataset, model, list(by_regime.values()), packed, weights, device, MIN_SECONDS)
    epochs = fit_regimes(units, by_regime, control)
    target = training_seconds(units, by_regime[control])
    for regime, counts in epochs.items():
        seconds = training_seconds(units, by_regime[regime].with_epochs(counts))
        log.info(
            "%s %s %s: %d epochs instead of %d, estimated T %.1f s (%+.1f %% of the control's)",
            *(dataset, model, regime, sum(counts.values()), by_regime[regime].epochs),
            *(seconds, 100 * (seconds / target - 1)),
        )
    write_epochs(destination, epochs)
