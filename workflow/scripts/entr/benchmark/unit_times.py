"""Durations of the parts of a cell, from a few training steps of each kind."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

import numpy as np
import torch
from fastai.callback.core import Callback, CancelValidException

from entr.config.training import Layers
from entr.config.training_plan import Batch, PhasePlan, Plan
from entr.metrics.cell_metrics import Cell
from entr.metrics.interpolation import interpolate_cost
from entr.training.batches import CropDataset, make_loader
from entr.training.clock import Clock
from entr.training.errors import micro_batch_size
from entr.training.resize import PackedImages, ResizedImages
from entr.training.trainer import Trainer

TIMED_STEPS = 3
"""Training steps that are timed per size and choice of layers, after as many for warm-up."""
TIMED_PREDICTIONS = 3
"""Repetitions of a prediction that is timed."""


class HalvesTimer(Callback):
    """Timer of each half of an epoch, whose steps are not waited for one by one; it skips validation."""

    order = -100  # before other callbacks

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def before_train(self) -> None:  # noqa: D102
        self.times = [self.clock.now()]

    def after_batch(self) -> None:  # noqa: D102
        if self.training and 2 * (self.iter + 1) == self.n_iter:
            self.times.append(self.clock.now())

    def after_train(self) -> None:  # noqa: D102
        self.times.append(self.clock.now())

    def before_validate(self) -> None:  # noqa: D102
        raise CancelValidException

    def seconds(self) -> tuple[float, float]:
        """Return the seconds of the first and of the second half."""
        begin, middle, end = self.times
        return middle - begin, end - middle


Step = tuple[int, Layers, int]
"""Kind of a training step: image size in px, trained layers and number of images."""


@dataclass(frozen=True)
class UnitTimes:
    """Durations of the parts of a cell in seconds, for one dataset and model."""

    start: float
    """From opening the data until the model can train; imports not included."""
    resize: Mapping[int, float]
    """Of resizing all images, by size in px."""
    step: Mapping[Step, float]
    """Of a training step, by its kind."""
    warm_up: Mapping[Step, float]
    """Of what the first steps of a kind take longer, such as autotuning and compilation."""
    forward: Mapping[int, float]
    """Of predicting one image, by size."""
    training_images: int
    validation_images: int

    def seconds_of(self, plan: Plan) -> dict[str, float]:
        """Return the seconds of a cell by part, as in `metrics.cell_metrics.Seconds`."""
        training = plan.training
        parts = dict.fromkeys(("starting", "resize", "training", "validation", "lr_finder", "evaluation"), 0.0)
        parts["starting"] = self.start
        for phase in plan.phases:
            for size in phase.stored_sizes():
                parts["resize"] += interpolate_cost(size, self.resize)
                # the finder counts micro-batches
                steps = training.lr_finder.steps / training.gradient_accumulation
                parts["lr_finder"] += steps * self.step_seconds(step_kind(phase, size, self.training_images))
            sizes = random.Random(0)
            for epoch in range(phase.epochs):
                for batch in phase.batches(epoch, self.training_images, sizes):
                    parts["training"] += self.step_seconds((batch.size, phase.layers, batch.images))
                parts["validation"] += self.validation_images * self.forward_seconds(phase.input_size_in(epoch))
        parts["lr_finder"] += sum(self.warm_up.get(kind, 0.0) for kind in step_kinds(plan, self.training_images))
        parts["evaluation"] = self._evaluation_seconds(plan)
        return parts

    def step_seconds(self, kind: Step) -> float:
        """Return the seconds of a training step; those of a size that was not timed are interpolated."""
        if kind in self.step:
            return self.step[kind]
        size, layers, images = kind
        per_image = {
            side: seconds / count for (side, trained, count), seconds in self.step.items() if trained == layers
        }
        return images * interpolate_cost(size, per_image)

    def forward_seconds(self, size: int) -> float:
        """Return the seconds of predicting one image; those of a size that was not timed are interpolated."""
        return interpolate_cost(size, self.forward)

    def _evaluation_seconds(self, plan: Plan) -> float:
        training, full, images = plan.training, plan.training.full_size, self.validation_images
        subtotal_size = next(phase.size for phase in plan.phases if phase.phase == training.subtotal_after)
        seconds = 0.0
        for size in (subtotal_size, plan.phases[-1].size):
            # the training images are predicted too, at the full size
            counts = {size: images, full: images + self.training_images}
            seconds += sum(self.forward_seconds(side) * count for side, count in counts.items())
        seconds += (1 + training.tta_views) * images * sum(map(self.forward_seconds, {plan.tta_size, full}))
        return seconds + images * sum(map(self.forward_seconds, training.evaluation_sizes))


def step_kind(phase: PhasePlan, size: int, n_images: int) -> Step:
    """Return the kind of the training steps of a phase at the size in px to which images are downscaled."""
    size = phase.upsample_to or size
    return size, phase.layers, min(phase.batch_size_of(size), n_images)


def step_kinds(plan: Plan, n_images: int) -> set[Step]:
    """Return the kinds of the training steps of a plan; of a ramp, some of them."""
    return {step_kind(phase, size, n_images) for phase in plan.phases for size in phase.input_sizes()}


def measure_unit_times(
    dataset: str,
    model: str,
    plans: Sequence[Plan],
    packed: PackedImages,
    weights: str | None,
    device: torch.device,
    min_seconds: float = 0.0,
) -> UnitTimes:
    """Time a few repetitions of everything that the cells of a dataset and model do.

    Parameters
    ----------
    dataset, model : str
        The dataset and model.
    plans : sequence of Plan
        Training plans of the cells.
    packed : PackedImages
        The images.
    weights : path or None
        Pretrained weights of the model, if there are any.
    device : torch.device
        Where the model trains.
    min_seconds : float
        Minimum time in seconds for measuring the training steps of each kind; by default, only `TIMED_STEPS` are timed.
    """
    begin = time.perf_counter()
    cell = Cell(dataset=dataset, model=model, regime="estimate", seed=0, weights="none")
    trainer = Trainer(cell, plans[0], packed, weights, Clock(device))
    start = time.perf_counter() - begin
    training = plans[0].training
    kinds = set().union(*(step_kinds(plan, len(packed.training_rows)) for plan in plans))
    sizes = {size for size, _, _ in kinds}
    sizes |= {size for plan in plans for phase in plan.phases for size in phase.stored_sizes()}
    sizes |= {training.full_size, *training.evaluation_sizes, *(plan.tta_size for plan in plans)}
    resize: dict[int, float] = {}
    step: dict[Step, float] = {}
    warm_up: dict[Step, float] = {}
    forward: dict[int, float] = {}
    for size in sorted(sizes):
        begin = trainer.clock.now()
        images = trainer.resize(size, packed.training_rows)
        resize[size] = trainer.clock.now() - begin
        for kind in sorted(kind for kind in kinds if kind[0] == size):
            first, second = _seconds_of_steps(trainer, images, kind, TIMED_STEPS)
            step[kind], warm_up[kind] = second / TIMED_STEPS, max(0.0, first - second)
            more = ceil(min_seconds / step[kind])
            if more > TIMED_STEPS:
                step[kind] = _seconds_of_steps(trainer, images, kind, more)[1] / more
        some = CropDataset(images, np.arange(len(images))[: training.batch_size], augmented=False)
        forward[size] = median(_prediction_seconds(trainer, some) for _ in range(TIMED_PREDICTIONS)) / len(some)
    return UnitTimes(start, resize, step, warm_up, forward, len(packed.training_rows), len(packed.validation_rows))


def _prediction_seconds(trainer: Trainer, images: CropDataset) -> float:
    settings = trainer.settings
    begin = trainer.clock.now()
    trainer.predict(
        make_loader(images, micro_batch_size(settings), settings.augmentation, statistics=trainer.statistics)
    )
    return trainer.clock.now() - begin


def _seconds_of_steps(trainer: Trainer, images: ResizedImages, kind: Step, timed_steps: int) -> tuple[float, float]:
    """Return the seconds of the first training steps of a kind, and of as many more."""
    size, layers, count = kind
    batches = [Batch(size, count, size)] * (2 * timed_steps)
    training = CropDataset(images, np.resize(np.arange(len(images)), 2 * timed_steps * count), augmented=True)
    trainer.learner.dls = trainer.loaders(training, training, batches=batches)
    trainer.set_trainable(layers)
    timer = HalvesTimer(trainer.clock)
    with trainer.learner.no_logging(), trainer.learner.no_bar():
        trainer.learner.fit(1, cbs=timer, reset_opt=True)
    return timer.seconds()
