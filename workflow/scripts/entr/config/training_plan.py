"""Training plans: the phases of a cell, each with its image sizes.

The phases are those of fast.ai's course of 2018, which Wanger & Frohn (arXiv 1807.11583, Methods and Fig. 3)
follow: ``sgdr`` (stochastic gradient descent with warm restarts), ``clrs`` (cyclical learning rates), ``cmult``
(cycles that double in length) and ``rpl`` (fine-tuning of all layers). A regime sets the image size of each phase
and of the test-time augmentation that follows.
"""

from typing import Any, Literal

from entr.config.base import FrozenModel
from entr.config.regimes import TTA, RandomSizes, Regime
from entr.config.training import Layers, Training

Stage = Literal["sub-total", "total", "total-tta"]
"""Before fine-tuning, after fine-tuning, and after fine-tuning with test-time augmentation."""


class PhasePlan(FrozenModel):
    """A training phase with the image sizes that a regime sets for it."""

    phase: str
    sizes: tuple[int, ...]
    """Image side in px in each epoch; for random sizes, the largest."""
    drawn: tuple[int, ...] = ()
    """Image sides in px, one of which is drawn for each batch."""
    upsample_to: int | None = None
    """Image side in px to which downscaled images are upsampled."""
    lengths: tuple[int, ...]
    """Epochs in each cycle."""
    layers: Layers
    lr_divisors: tuple[float, float, float]
    """Divisors of the learning rate for the early layers, the late layers and the head."""

    @property
    def epochs(self) -> int:
        """Epochs of all cycles together."""
        return sum(self.lengths)

    @property
    def size(self) -> int:
        """Image side in px at the end of the phase, at which the model is evaluated."""
        return self.upsample_to or self.sizes[-1]

    def learning_rates(self, learning_rate: float) -> tuple[float, ...]:
        """Return the learning rates of early layers, late layers and head at the start of each cycle."""
        return tuple(learning_rate / divisor for divisor in self.lr_divisors)

    def input_sizes(self) -> tuple[int, ...]:
        """Return every image side in px that is passed to the model, in ascending order."""
        return (self.upsample_to,) if self.upsample_to else self.stored_sizes()

    def stored_sizes(self) -> tuple[int, ...]:
        """Return every image side in px to which images are downscaled, in ascending order."""
        return tuple(sorted({*self.sizes, *self.drawn}))

    def input_size_in(self, epoch: int) -> int:
        """Return the image side in px that is passed to the model in an epoch; for random sizes, the largest."""
        return self.upsample_to or self.sizes[epoch]


class Plan(FrozenModel):
    """Everything that determines how a cell is trained, apart from its dataset, model and seed."""

    phases: tuple[PhasePlan, ...]
    tta_size: int
    """Image side in px of test-time augmentation."""
    training: Training
    scale: float = 1.0
    """Factor by which the configured image sizes were multiplied; all sizes here are after that."""

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
        phases = tuple(_phase_plan(name, training, regime, pretrained=pretrained) for name in training.schedule)
        return cls(phases=phases, tta_size=regime.sizes[TTA], training=training, scale=scale)

    @property
    def epochs(self) -> int:
        """Total number of epochs over all phases."""
        return sum(phase.epochs for phase in self.phases)

    def plain(self) -> dict[str, Any]:
        """Return the plan as JSON values, for the parameters of a rule."""
        return self.model_dump(mode="json")


def _phase_plan(name: str, training: Training, regime: Regime, *, pretrained: bool) -> PhasePlan:
    phase, size = training.phases[name], regime.sizes[name]
    epochs = sum(phase.lengths)
    drawn: tuple[int, ...] = ()
    if isinstance(size, tuple):
        sizes = size
    elif isinstance(size, RandomSizes):
        sizes, drawn = (max(size.random),) * epochs, size.random
    else:
        sizes = (size,) * epochs
    if len(sizes) != epochs:
        raise ValueError(
            f"phase {name} has {epochs} epoch{'s' if epochs > 1 else ''}, but {len(sizes)} sizes; "
            "give one size, or one per epoch"
        )
    return PhasePlan(
        phase=name,
        sizes=sizes,
        drawn=drawn,
        upsample_to=regime.upsample_to,
        lengths=phase.lengths,
        layers=(regime.layers or phase.layers) if pretrained else "all",
        lr_divisors=phase.lr_divisors,
    )
