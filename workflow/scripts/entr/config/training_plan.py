"""Training plans: the phases of a cell, each with its image sizes.

The phases are those of fast.ai's course of 2018, which Wanger & Frohn (arXiv 1807.11583, Methods and Fig. 3)
follow: ``sgdr`` (stochastic gradient descent with warm restarts), ``clrs`` (cyclical learning rates), ``cmult``
(cycles that double in length) and ``rpl`` (fine-tuning of all layers). A regime sets the image size of each phase
and of the test-time augmentation that follows.
"""

import hashlib
import random
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple

from entr.config.base import FrozenModel, scale_size
from entr.config.regimes import TTA, Ramp, RandomSizes, Regime
from entr.config.training import Augmentation, Layers, Phase, Training

MIN_BATCH_SIZE = 2
"""Fewest images of a training step, because BatchNorm needs more than one."""

Stage = Literal["sub-total", "total", "total-tta"]
"""Before fine-tuning, after fine-tuning, and after fine-tuning with test-time augmentation."""


class Batch(NamedTuple):
    """The size of a training step."""

    size: int
    """Image side in px that is passed to the model."""
    images: int
    """Number of images."""
    stored: int
    """Image side in px to which all images of the dataset were resized before."""


class ScaledRamp(Ramp):
    """A ramp whose sizes are multiplied by a factor."""

    scale: float = 1.0

    def size_at(self, progress: float) -> int:
        """Return the image side in px at a fraction of the training, in [0, 1]."""
        return scale_size(super().size_at(progress), self.scale)


def micro_batch_sizes(images: int, n_parts: int) -> list[int]:
    """Return the sizes of the micro-batches of a batch, largest first.

    Parameters
    ----------
    images : int
        Images of the batch.
    n_parts : int
        Number of micro-batches; reduced where one would hold a single image, on which BatchNorm fails.
    """
    n_parts = max(1, min(n_parts, images // 2))
    smaller, remaining = divmod(images, n_parts)
    return [smaller + 1] * remaining + [smaller] * (n_parts - remaining)


class PhasePlan(FrozenModel):
    """A training phase with the image sizes that a regime sets for it."""

    phase: str
    sizes: tuple[int, ...]
    """Image side in px in each epoch; for random sizes, the largest."""
    drawn: tuple[int, ...] = ()
    """Image sides in px, one of which is drawn for each batch."""
    ramp: ScaledRamp | None = None
    """Increase of the image size in each training step; `sizes` are then those at the end of each epoch."""
    span: tuple[float, float] = (0, 1)
    """Fractions of the epochs of all phases at which this phase begins and ends."""
    upsample_to: int | None = None
    """Image side in px to which downscaled images are upsampled."""
    lengths: tuple[int, ...]
    """Epochs in each cycle."""
    layers: Layers
    lr_divisors: tuple[float, float, float]
    """Divisors of the learning rate for the early layers, the late layers and the head."""
    lr_factors: tuple[float, float] = (1, 0)
    """Factors of the learning rate at the start and at the end of each cycle."""
    anneal: Literal["cosine", "linear"] = "cosine"
    """Shape of the learning rate between them."""
    learning_rate: float
    """Learning rate of the head before it is multiplied by a factor."""
    batch_size: int
    """Images per training step; if `batch_size_at` is given, those of this size."""
    batch_size_at: int | None = None
    """Image side in px to which the batch size refers, if it depends on the image size."""
    dropout: float
    """Dropout probability before each of the two linear layers of the head."""
    augmentation: Augmentation
    """Random transformations of the training images."""
    mixup: float = 0
    """Parameter α of mixup; 0 without mixup."""

    @property
    def epochs(self) -> int:
        """Epochs of all cycles together."""
        return sum(self.lengths)

    @property
    def size(self) -> int:
        """Image side in px at the end of the phase, at which the model is evaluated."""
        return self.upsample_to or self.sizes[-1]

    def learning_rates(self, learning_rate: float | None = None) -> tuple[float, ...]:
        """Return the learning rates of early layers, late layers and head, before they are multiplied by a factor.

        Parameters
        ----------
        learning_rate : float, optional
            Learning rate of the head; by default that of the phase.
        """
        return tuple((learning_rate or self.learning_rate) / divisor for divisor in self.lr_divisors)

    def batch_size_of(self, size: int) -> int:
        """Return the number of images per training step at an image size in px."""
        if self.batch_size_at is None:
            return self.batch_size
        return max(MIN_BATCH_SIZE, round(self.batch_size * (self.batch_size_at / size) ** 2))

    def batches(self, epoch: int, n_images: int, sizes: random.Random) -> tuple[Batch, ...]:
        """Return the training steps of an epoch.

        A last, incomplete batch is dropped, because a batch of one would break BatchNorm. If the batch size depends on
        the image size, it is kept if it has at least `batch_size` images, because batches may be large. No batch is
        larger than the number of images.

        Parameters
        ----------
        epoch : int
            Epoch of the phase, from 0.
        n_images : int
            Number of training images.
        sizes : Random
            Generator of random sizes.
        """
        batches: list[Batch] = []
        used = 0
        while True:
            size = self._size_of_step(epoch, used / n_images, sizes)
            count = min(self.batch_size_of(self.upsample_to or size), n_images)
            if self.batch_size_at and n_images - used >= self.batch_size:
                count = min(count, n_images - used)
            if used + count > n_images:
                return tuple(batches)
            stored = self.sizes[-1] if self.ramp else size
            batches.append(Batch(self.upsample_to or size, count, stored))
            used += count

    def _size_of_step(self, epoch: int, progress: float, sizes: random.Random) -> int:
        if self.drawn:
            # so that the sizes have equal shares of the images, not of the steps
            weights = [1 / self.batch_size_of(self.upsample_to or size) for size in self.drawn]
            return sizes.choices(self.drawn, weights)[0]
        if self.ramp:
            begin, end = self.span
            return self.ramp.size_at(begin + (end - begin) * (epoch + progress) / self.epochs)
        return self.sizes[epoch]

    def input_sizes(self) -> tuple[int, ...]:
        """Return every image side in px that is passed to the model, in ascending order; of a ramp, three of them."""
        if self.ramp:
            begin, end = self.span
            moments = (begin, (begin + end) / 2)
            return tuple(sorted({*map(self.ramp.size_at, moments), self.sizes[-1]}))
        return (self.upsample_to,) if self.upsample_to else self.stored_sizes()

    def stored_sizes(self) -> tuple[int, ...]:
        """Return every image side in px to which all training images are resized, in ascending order.

        With a ramp, that is only the last one, from which each batch is downscaled.
        """
        return (self.sizes[-1],) if self.ramp else tuple(sorted({*self.sizes, *self.drawn}))

    def validation_sizes(self) -> tuple[int, ...]:
        """Return every image side in px to which all validation images are resized, in ascending order."""
        return tuple(sorted({*self.sizes, *self.drawn}))

    def input_size_in(self, epoch: int) -> int:
        """Return the image side in px at which the model is validated after an epoch; for random sizes, the largest."""
        return self.upsample_to or self.sizes[epoch]


class Plan(FrozenModel):
    """Everything that determines how a cell is trained, apart from its dataset, model and seed."""

    phases: tuple[PhasePlan, ...]
    tta_size: int
    """Image side in px of test-time augmentation."""
    training: Training
    scale: float = 1.0
    """Factor by which the configured image sizes were multiplied; all sizes here are after that."""

    @property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of a SHA-256 over all values."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @classmethod
    def of(cls, training: Training, regime: Regime, *, pretrained: bool, scale: float = 1.0) -> "Plan":
        """Combine training settings with the image sizes of a regime.

        Parameters
        ----------
        training : Training
            Settings of the dataset and regime.
        regime : Regime
            Image sizes and other settings of the regime.
        pretrained : bool
            Whether the backbone is pretrained. If not, every phase trains all layers, because a head cannot learn
            from a frozen backbone of random weights.
        scale : float
            Factor by which every image size is multiplied.

        Raises
        ------
        KeyError
            If the regime lacks a phase; validation of the configuration excludes this.
        ValueError
            If a list of sizes is not as long as its phase.
        """
        training, regime = training.at_scale(scale), regime.at_scale(scale)
        ramp = ScaledRamp(**regime.ramp.model_dump(), scale=scale) if regime.ramp else None
        lengths = [sum(training.phases[name].lengths) for name in training.schedule]
        ends = [0, *accumulate(lengths)]
        spans = [(begin / ends[-1], end / ends[-1]) for begin, end in pairwise(ends)]
        phases = tuple(
            _phase_plan(name, training, regime, ramp, span, pretrained=pretrained)
            for name, span in zip(training.schedule, spans, strict=True)
        )
        return cls(phases=phases, tta_size=regime.sizes[TTA], training=training, scale=scale)

    @property
    def epochs(self) -> int:
        """Total number of epochs over all phases."""
        return sum(phase.epochs for phase in self.phases)

    def with_epochs(self, epochs: Mapping[str, int]) -> "Plan":
        """Return the plan with other numbers of epochs.

        Cycles and sizes keep their shares of a phase; a cycle with less than half an epoch is omitted.

        Parameters
        ----------
        epochs : mapping of str to int
            Number of epochs, at least 1, by phase.
        """
        total, begin = sum(epochs[phase.phase] for phase in self.phases), 0
        phases = []
        for phase in self.phases:
            count = epochs[phase.phase]
            span = (begin / total, (begin + count) / total)
            phases.append(_stretched(phase, count, span))
            begin += count
        return self.model_copy(update={"phases": tuple(phases)})

    def plain(self) -> dict[str, Any]:
        """Return the plan as JSON values, for the parameters of a rule."""
        return self.model_dump(mode="json")


def _stretched(phase: PhasePlan, epochs: int, span: tuple[float, float]) -> PhasePlan:
    """Return the plan of a phase with another number of epochs."""
    ends = [round(end * epochs / phase.epochs) for end in accumulate(phase.lengths)]
    lengths = tuple(end - begin for begin, end in pairwise([0, *ends]) if end > begin)
    if phase.ramp:
        moments = (span[0] + (span[1] - span[0]) * (epoch + 1) / epochs for epoch in range(epochs))
        sizes = tuple(map(phase.ramp.size_at, moments))
    else:
        sizes = tuple(phase.sizes[epoch * phase.epochs // epochs] for epoch in range(epochs))
    return phase.model_copy(update={"lengths": lengths, "sizes": sizes, "span": span})


def _phase_plan(
    name: str,
    training: Training,
    regime: Regime,
    ramp: ScaledRamp | None,
    span: tuple[float, float],
    *,
    pretrained: bool,
) -> PhasePlan:
    phase = training.phases[name]
    return PhasePlan(
        phase=name,
        **_sizes(name, phase, regime, ramp, span),
        span=span,
        upsample_to=regime.upsample_to,
        lengths=phase.lengths,
        layers=(regime.layers or phase.layers) if pretrained else "all",
        lr_divisors=phase.lr_divisors,
        lr_factors=phase.lr_factors,
        anneal=phase.anneal,
        learning_rate=phase.learning_rate or training.learning_rate,
        batch_size=phase.batch_size or training.batch_size,
        batch_size_at=training.batch_size_at,
        dropout=training.dropout if phase.dropout is None else phase.dropout,
        augmentation=training.augmentation_in(name),
        mixup=phase.mixup,
    )


def _sizes(
    name: str, phase: Phase, regime: Regime, ramp: ScaledRamp | None, span: tuple[float, float]
) -> dict[str, Any]:
    """Return the fields of a phase's plan that concern its image sizes."""
    epochs = sum(phase.lengths)
    if ramp:
        by_step = ramp.update == "step"
        # at the end or at the beginning of each epoch
        moments = (span[0] + (span[1] - span[0]) * (epoch + by_step) / epochs for epoch in range(epochs))
        sizes = tuple(map(ramp.size_at, moments))
        increases = by_step and ramp.size_at(span[0]) < sizes[-1]
        return {"sizes": sizes, "ramp": ramp if increases else None}
    size = regime.sizes[name]
    if isinstance(size, RandomSizes):
        return {"sizes": (max(size.random),) * epochs, "drawn": size.random}
    sizes = size if isinstance(size, tuple) else (size,) * epochs
    if len(sizes) != epochs:
        raise ValueError(
            f"phase {name} has {epochs} epoch{'s' if epochs > 1 else ''}, but {len(sizes)} sizes; "
            "give one size, or one per epoch"
        )
    return {"sizes": sizes}
