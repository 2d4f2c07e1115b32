"""How a network is trained: phases, regimes of image size, and the plan that a cell follows.

The phases are those of fast.ai's course of 2018, which Wanger & Frohn (arXiv 1807.11583,
Methods and Fig. 3) follow: ``sgdr``, ``clrs``, ``cmult``, then ``rpl``. A regime gives each
phase, and test-time augmentation after them, an image size in pixels.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from entr.section import Section

Layers = Literal["head", "all"]
Fit = Literal["crop", "squish", "pad"]
TTA = "tta"
"""The key of a regime that says at which size test-time augmentation is evaluated."""

Stage = Literal["sub-total", "total", "total-tta"]
"""Before re-training the pretrained layers, after it, and after it with test-time augmentation."""


class Phase(Section):
    """One step of training: cosine cycles of the learning rate over some of the layers."""

    cycles: PositiveInt = 1
    """Number of cosine cycles; each begins at the full learning rate."""
    cycle_length: PositiveInt = 1
    """Epochs in the first cycle."""
    cycle_mult: PositiveInt = 1
    """Each cycle is this many times as long as the one before."""
    layers: Layers = "head"
    """Which layers train: the `head` alone, or `all`."""
    rate_divisors: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1, 1, 1)
    """The learning rate of the early layers, the late layers and the head is divided by these."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Epochs in each cycle."""
        return tuple(self.cycle_length * self.cycle_mult**cycle for cycle in range(self.cycles))


class Augmentation(Section):
    """Random changes to each training image, drawn anew each time it is seen."""

    flip: Literal["none", "horizontal", "dihedral"] = "dihedral"
    """Mirror images: none, left to right, or all eight symmetries of the square."""
    max_rotate: NonNegativeFloat = 10
    """Largest rotation to either side, in degrees."""
    max_zoom: Annotated[float, Field(ge=1)] = 1.1
    """Largest enlargement, as a factor."""
    max_warp: NonNegativeFloat = 0.05
    """Largest change of perspective, as a share of the image."""
    max_lighting: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Largest change of brightness and of contrast, as a share."""


class RateFinder(Section):
    """The learning-rate finder, run and recorded before each phase; it chooses nothing."""

    start: PositiveFloat = 1e-5
    """First learning rate."""
    end: PositiveFloat = 10
    """Last learning rate, unless the loss exceeds four times its best before."""
    steps: Annotated[int, Field(ge=6)] = 100
    """Training steps over which the rate grows exponentially."""


class Training(Section):
    """How each cell of a dataset is trained; the same for every regime, so that only size differs."""

    phases: Annotated[dict[str, Phase], Field(min_length=1)] = {
        "sgdr": Phase(cycle_length=2),
        "clrs": Phase(cycles=3),
        "cmult": Phase(cycles=3, cycle_mult=2),
        "rpl": Phase(cycles=3, cycle_mult=2, layers="all", rate_divisors=(9, 3, 1)),
    }
    """What each phase is, by name."""
    schedule: Annotated[tuple[str, ...], Field(min_length=1)] = ("sgdr", "clrs", "cmult", "rpl")
    """The phases that run, in their order; a list, because layers of configuration do not keep the
    order of a mapping."""
    sub_total_after: str = "cmult"
    """The phase after which the sub-total is measured."""
    full_size: PositiveInt = 250
    """Side in px at which every stage is measured too, whatever the size of its phase."""
    fit: Fit = "crop"
    """How an image becomes a square: `crop` scales the shorter side and cuts, `squish` scales both
    sides, `pad` scales the longer side and fills with black."""
    batch_size: PositiveInt = 64
    """Images in one training step."""
    learning_rate: PositiveFloat = 1e-2
    """Learning rate of the head at the start of each cycle."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of stochastic gradient descent."""
    weight_decay: NonNegativeFloat = 0
    """Weight decay of stochastic gradient descent."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of activations dropped before each of the head's two linear layers."""
    augmentation: Augmentation = Augmentation()
    """Random changes to training images, and to those of test-time augmentation."""
    tta_views: NonNegativeInt = 4
    """Augmented views that test-time augmentation averages with the plain one."""
    rate_finder: RateFinder = RateFinder()
    """The learning-rate finder."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """Where to train: `auto` takes a GPU where there is one and says so."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Numbers of the forward pass: `bf16` mixes 16-bit and 32-bit numbers on a GPU; `auto` does so
    where the GPU is made for it, and takes `float32` elsewhere, as on a processor."""
    tf32: bool = True
    """Whether products of 32-bit numbers may be rounded to 10 bits on a GPU that is made for it."""
    deterministic: bool = False
    """Whether a GPU has to use kernels that give the same digits in each run, where there are such."""
    accumulation: PositiveInt = 1
    """Parts into which a batch is divided where it is too large for the device: gradients are summed
    over them, BatchNorm sees each part by itself."""


class Step(Section):
    """A phase at the size that a regime gives it."""

    phase: str
    size: int
    """Side of the images in px."""
    lengths: tuple[int, ...]
    """Epochs in each cycle."""
    layers: Layers
    learning_rates: tuple[float, float, float]
    """Of early layers, late layers and head, at the start of each cycle."""

    @property
    def epochs(self) -> int:
        """Epochs in all cycles together."""
        return sum(self.lengths)


class Plan(Section):
    """Everything that decides how one cell is trained, apart from its data, network and seed."""

    steps: tuple[Step, ...]
    tta_size: int
    """Side in px at which test-time augmentation is evaluated."""
    training: Training

    @classmethod
    def of(cls, training: Training, sizes: Mapping[str, int], *, pretrained: bool) -> "Plan":
        """Give each phase its size.

        Parameters
        ----------
        training : Training
            The settings of the dataset.
        sizes : mapping of str to int
            The regime: side in px for each phase and for ``tta``.
        pretrained : bool
            Without pretrained weights every phase trains all layers, for a frozen network of
            random numbers learns nothing.

        Raises
        ------
        KeyError
            When the regime lacks a phase; the configuration is checked for it before.
        """
        steps = tuple(
            Step(
                phase=name,
                size=sizes[name],
                lengths=training.phases[name].lengths,
                layers=training.phases[name].layers if pretrained else "all",
                learning_rates=tuple(
                    training.learning_rate / divisor for divisor in training.phases[name].rate_divisors
                ),
            )
            for name in training.schedule
        )
        return cls(steps=steps, tta_size=sizes[TTA], training=training)

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(step.epochs for step in self.steps)

    def plain(self) -> dict[str, Any]:
        """Return the plan as JSON values, for a rule's parameters."""
        return self.model_dump(mode="json")
