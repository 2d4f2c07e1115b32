"""How long a grid will take, before it is run: a few steps of each kind are timed, and counted."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from fastai.callback.core import Callback, CancelEpochException

from entr import devices
from entr.callbacks import Clock
from entr.guards import atomic_write
from entr.measures import Cell
from entr.pixels import Cuts, Pixels
from entr.regimes import Plan
from entr.training import Trainer

log = logging.getLogger("entr")

STEPS = 5
"""Training steps that are timed of each size and choice of layers, after as many that warm up."""
PREDICTIONS = 3
"""Times that some images are predicted, to time it."""
SECONDS_A_FIGURE = 3
"""Of drawing a figure or making a table, each a job of its own."""
FIGURES = 24


class Timed(Callback):
    """Time the first steps of an epoch and leave the rest out."""

    def __init__(self, device: Any) -> None:  # noqa: ANN401  torch's
        self.device, self.seconds = device, []

    def before_batch(self) -> None:  # noqa: D102
        devices.synchronize(self.device)
        self.begin = time.perf_counter()

    def after_batch(self) -> None:  # noqa: D102
        if not self.training:
            return
        devices.synchronize(self.device)
        self.seconds.append(time.perf_counter() - self.begin)
        if len(self.seconds) >= 2 * STEPS:
            raise CancelEpochException

    def step_seconds(self) -> float:
        """Return the seconds of a step, once warm."""
        return median(self.seconds[len(self.seconds) // 2 :])


@dataclass(frozen=True)
class Costs:
    """What the parts of a cell cost, in seconds, for one dataset and network."""

    start: float
    """From the start of a process until it can train: imports, reading, building the network."""
    resize: Mapping[int, float]
    """Of all images, by size in px."""
    step: Mapping[tuple[int, str], float]
    """Of a training step, by size and layers that train."""
    forward: Mapping[int, float]
    """Of predicting one image, by size."""
    training_images: int
    validation_images: int

    def seconds_of(self, plan: Plan) -> dict[str, float]:
        """Return the seconds of a cell by part, as `Seconds` has them."""
        training = plan.training
        batch = min(training.batch_size, self.training_images)
        parts = dict.fromkeys(("starting", "resize", "training", "validation", "rate_finder", "evaluation"), 0.0)
        parts["starting"] = self.start
        for step in plan.steps:
            for size in step.reduced_to():
                parts["resize"] += self.resize[size]
                shown = step.enlarge_to or size
                parts["rate_finder"] += training.rate_finder.steps * self.step[shown, step.layers]
            for epoch in range(step.epochs):
                shown = step.shown_in(epoch)
                parts["training"] += self.training_images // batch * self.step[shown, step.layers]
                parts["validation"] += self.validation_images * self.forward[shown]
        before = next(step.size for step in plan.steps if step.phase == training.sub_total_after)
        full, every = training.full_size, self.validation_images
        for size in (before, plan.steps[-1].size):
            images = {size: every, full: every + self.training_images}
            parts["evaluation"] += sum(self.forward[side] * count for side, count in images.items())
        views = 1 + training.tta_views
        parts["evaluation"] += views * every * sum(self.forward[side] for side in {plan.tta_size, full})
        parts["evaluation"] += every * sum(self.forward[side] for side in training.test_sizes)
        return parts


def measure(dataset: str, model: str, plans: Iterable[Plan], files: Mapping[str, Any], weights: str | None) -> Costs:
    """Time a few steps of everything that the cells of a dataset and network do."""
    plans = list(plans)
    training = plans[0].training
    begun = time.perf_counter()
    cell = Cell(dataset=dataset, model=model, regime="estimate", seed=0, weights="none")
    trainer = Trainer(cell, plans[0], Clock(devices.choose(training.device)))
    trainer.open(Pixels.open(files["pixels"], files["manifest"], files["split"]), weights)
    loading = time.perf_counter() - begun
    resize, step, forward = {}, {}, {}
    kinds = {(one.enlarge_to or size, one.layers) for plan in plans for one in plan.steps for size in one.reduced_to()}
    shown = {size for size, _ in kinds} | {training.full_size, *training.test_sizes, *(one.tta_size for one in plans)}
    for size in sorted(shown | {side for plan in plans for one in plan.steps for side in one.reduced_to()}):
        began = trainer.clock.now()
        images = trainer.at_size(trainer.pixels, size)
        resize[size] = trainer.clock.now() - began
        trainer.learner.dls = trainer.loaders(images)
        for layers in sorted(layers for side, layers in kinds if side == size):
            step[size, layers] = _step(trainer, layers)
        some = Cuts(images, trainer.validation_rows[: 2 * training.batch_size], augmented=False)
        forward[size] = median(_prediction(trainer, some) for _ in range(PREDICTIONS)) / len(some)
    counts = len(trainer.training_rows), len(trainer.validation_rows)
    return Costs(loading, resize, step, forward, *counts)


def _prediction(trainer: Trainer, images: Cuts) -> float:
    began = trainer.clock.now()
    trainer.predict(images)
    return trainer.clock.now() - began


def _step(trainer: Trainer, layers: str) -> float:
    trainer.learner.unfreeze() if layers == "all" else trainer.learner.freeze()
    timed = Timed(trainer.clock.device)
    with trainer.learner.no_logging(), trainer.learner.no_bar():
        while len(timed.seconds) < 2 * STEPS:
            trainer.learner.fit(1, cbs=timed, reset_opt=True)
    return timed.step_seconds()


def write(
    cells: Sequence[Mapping[str, Any]],
    plans: Mapping[str, Mapping[str, Mapping[str, Any]]],
    files: Mapping[str, Mapping[str, str]],
    weights: Mapping[str, str],
    benchmark_seconds: float,
    table: str | Path,
) -> None:
    """Estimate every cell that is not finished, and say the sum.

    Parameters
    ----------
    cells : sequence of mapping
        ``dataset, model, regime, seed, metrics``: the cells of the grid and where their metrics are.
    plans : mapping
        By dataset and regime, as plain values.
    files : mapping
        ``pixels``, ``manifest`` and ``split`` of each dataset.
    weights : mapping
        Files of first weights by network, if there are.
    benchmark_seconds : float
        That the inference benchmark spends by its configuration.
    table : path
        A CSV file with a row for each cell that is missing: its parts and their sum in seconds.
    """
    imports = Clock.since_the_process_began(devices.choose("cpu")).seconds["starting"]
    missing = [cell for cell in cells if not Path(cell["metrics"]).exists()]
    rows = []
    for dataset, model in sorted({(cell["dataset"], cell["model"]) for cell in missing}):
        of_dataset = {name: Plan.model_validate(plan) for name, plan in plans[dataset].items()}
        costs = measure(dataset, model, of_dataset.values(), files[dataset], weights.get(model))
        for cell in missing:
            if (cell["dataset"], cell["model"]) == (dataset, model):
                parts = costs.seconds_of(of_dataset[cell["regime"]])
                parts["starting"] += imports
                named = {key: cell[key] for key in ("dataset", "model", "regime", "seed")}
                rows.append(named | parts | {"seconds": sum(parts.values())})
    with atomic_write(table) as file:
        pd.DataFrame(rows).to_csv(file, index=False)
    _say(pd.DataFrame(rows), len(cells), benchmark_seconds + SECONDS_A_FIGURE * FIGURES if rows else 0.0, table)


def _say(rows: pd.DataFrame, cells: int, rest: float, table: str | Path) -> None:
    if not len(rows):
        log.info("all %d cells are finished", cells)
        return
    for (dataset, model), group in rows.groupby(["dataset", "model"]):
        log.info("%s %s: %d cells, %s each on average", dataset, model, len(group), _clock(group["seconds"].mean()))
    log.info(
        "%d of %d cells are missing: %s on one device, and %s for benchmarks, tables and figures; several GPUs share "
        "the cells. Each cell is in %s",
        len(rows), cells, _clock(rows["seconds"].sum()), _clock(rest), table,
    )  # fmt: skip


def _clock(seconds: float) -> str:
    return f"{timedelta(seconds=round(seconds))!s} h"
