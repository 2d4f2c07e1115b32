"""How a network is trained: phases, regimes of image size, and the plan that a cell follows.

The phases are those of fast.ai's course of 2018, which Wanger & Frohn (arXiv 1807.11583,
Methods and Fig. 3) follow: ``sgdr``, ``clrs``, ``cmult``, then ``rpl``. A regime gives each
phase, and test-time augmentation after them, an image size in pixels.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainValidator,
    PositiveFloat,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)

from entr.section import Distinct, Section

Layers = Literal["head", "all"]
Fit = Literal["crop", "squish", "pad"]
TTA = "tta"
"""The key of a regime that says at which size test-time augmentation is evaluated."""
ANY = "any"
"""The key of a mapping in place of a size: its sizes are drawn anew for each batch."""

STEPS_TO_CHOOSE = 20
"""Steps of the learning-rate finder without which a suggestion would be chance."""

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
    """The learning-rate finder, run and recorded before each phase."""

    start: PositiveFloat = 1e-5
    """First learning rate."""
    end: PositiveFloat = 10
    """Last learning rate, unless the loss exceeds four times its best before."""
    steps: Annotated[int, Field(ge=6)] = 100
    """Training steps over which the rate grows exponentially."""
    rule: Literal["none", "valley", "steep", "minimum"] = "none"
    """Which of fastai's suggestions becomes the learning rate of the phase, in place of `learning_rate`:
    `valley`, two thirds into the longest fall of the loss; `steep`, where it falls fastest; `minimum`, a
    tenth of the rate where it is lowest. `none` chooses nothing: a rate for each regime confounds them."""

    @model_validator(mode="after")
    def _has_a_curve_to_choose_from(self) -> Self:
        if self.rule != "none" and self.steps < STEPS_TO_CHOOSE:
            raise ValueError(f"rule: {self.rule} needs a curve of at least {STEPS_TO_CHOOSE} steps; raise steps")
        return self


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
    test_sizes: Annotated[tuple[PositiveInt, ...], Distinct] = (75, 100, 150, 200, 250, 300, 350)
    """Sides in px at which the finished network is measured as well; a network trained at one size can be
    better at another."""
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
    compile: Literal["none", "default", "reduce-overhead"] = "none"
    """How torch compiles the training steps, once for each size and choice of layers, before their clock
    starts: a mode of `torch.compile`. `reduce-overhead` records CUDA graphs, for a GPU that otherwise waits
    for its launches and is no faster with smaller images."""
    accumulation: PositiveInt = 1
    """Parts into which a batch is divided where it is too large for the device: gradients are summed
    over them, BatchNorm sees each part by itself."""


def _sizes(value: Any) -> int | tuple[int, ...] | dict[str, tuple[int, ...]]:  # noqa: ANN401  whatever YAML holds
    """Check what a regime says of a phase: a size, one for each epoch, or sizes to draw from."""
    drawn = isinstance(value, Mapping)
    several = value.get(ANY) if drawn and set(value) == {ANY} else value
    listed = several if isinstance(several, list | tuple) else [several]
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in listed)
    if not (listed and whole) or (drawn and several is value):
        raise ValueError(
            f"should be a size in px, a list with one for each epoch, or {{any: [sizes]}}, but it is {value!r}"
        )
    return {ANY: tuple(listed)} if drawn else tuple(listed) if isinstance(several, list | tuple) else value


Sizes = Annotated[
    Any,
    PlainValidator(_sizes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
                {
                    "type": "object",
                    "properties": {ANY: {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1}},
                    "required": [ANY],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class Regime(BaseModel):
    """The image size in px of each phase, by the phase's name, and of `tta`, which is evaluated only.

    A size is a number, a list with one for each epoch of the phase, or `{any: [sizes]}`, from which one
    is drawn for each batch.
    """

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, Sizes]

    enlarge_to: PositiveInt | None = None
    """Side in px to which the images of each phase are enlarged again, so that they are blurred and no
    cheaper."""
    layers: Layers | None = None
    """Layers that every phase trains, in place of its own."""
    training: dict[str, Any] = {}
    """Keys of `training` that differ in this regime, such as fewer epochs."""

    @property
    def sizes(self) -> dict[str, Any]:
        """What is said of each phase and of `tta`."""
        return dict(self.__pydantic_extra__)

    def all_sizes(self) -> dict[str, tuple[int, ...]]:
        """Return every size in px that a phase, or `tta`, has."""
        plain = {phase: size.get(ANY) if isinstance(size, dict) else size for phase, size in self.sizes.items()}
        return {phase: size if isinstance(size, tuple) else (size,) for phase, size in plain.items()}


class Step(Section):
    """A phase at the sizes that a regime gives it."""

    phase: str
    sizes: tuple[int, ...]
    """Side of the images in px in each epoch; of a drawn size the largest."""
    drawn: tuple[int, ...] = ()
    """Sides in px of which one is drawn for each batch."""
    enlarge_to: int | None = None
    """Side in px to which images are enlarged again."""
    lengths: tuple[int, ...]
    """Epochs in each cycle."""
    layers: Layers
    rate_divisors: tuple[float, float, float]
    """The learning rate of early layers, late layers and head is divided by these."""

    @property
    def epochs(self) -> int:
        """Epochs in all cycles together."""
        return sum(self.lengths)

    @property
    def size(self) -> int:
        """Side in px of what the network is shown at the end of the phase, and at which it is measured."""
        return self.enlarge_to or self.sizes[-1]

    def rates(self, learning_rate: float) -> tuple[float, ...]:
        """Return the rates of early layers, late layers and head at the start of each cycle."""
        return tuple(learning_rate / divisor for divisor in self.rate_divisors)

    def shown(self) -> tuple[int, ...]:
        """Return every side in px that the network is shown."""
        return (self.enlarge_to,) if self.enlarge_to else self.reduced_to()

    def reduced_to(self) -> tuple[int, ...]:
        """Return every side in px that images are reduced to."""
        return tuple(sorted({*self.sizes, *self.drawn}))

    def shown_in(self, epoch: int) -> int:
        """Return the side in px of the images of an epoch of the phase; of a drawn size the largest."""
        return self.enlarge_to or self.sizes[epoch]


class Plan(Section):
    """Everything that decides how one cell is trained, apart from its data, network and seed."""

    steps: tuple[Step, ...]
    tta_size: int
    """Side in px at which test-time augmentation is evaluated."""
    training: Training

    @classmethod
    def of(cls, training: Training, regime: Regime, *, pretrained: bool) -> "Plan":
        """Give each phase its sizes.

        Parameters
        ----------
        training : Training
            The settings of the dataset and of the regime.
        regime : Regime
            Sizes and what else it changes.
        pretrained : bool
            Without pretrained weights every phase trains all layers, for a frozen network of
            random numbers learns nothing.

        Raises
        ------
        KeyError
            When the regime lacks a phase; the configuration is checked for it before.
        ValueError
            When a list of sizes has not one for each epoch of its phase.
        """
        steps = tuple(_step(name, training, regime, pretrained=pretrained) for name in training.schedule)
        return cls(steps=steps, tta_size=regime.sizes[TTA], training=training)

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(step.epochs for step in self.steps)

    def plain(self) -> dict[str, Any]:
        """Return the plan as JSON values, for a rule's parameters."""
        return self.model_dump(mode="json")


def _step(name: str, training: Training, regime: Regime, *, pretrained: bool) -> Step:
    phase, size = training.phases[name], regime.sizes[name]
    drawn = size[ANY] if isinstance(size, dict) else ()
    epochs = sum(phase.lengths)
    sizes = size if isinstance(size, tuple) else (max(drawn) if drawn else size,) * epochs
    if len(sizes) != epochs:
        raise ValueError(f"phase {name} has {epochs} epochs, but {len(sizes)} sizes; give one, or one for each epoch")
    return Step(
        phase=name,
        sizes=sizes,
        drawn=drawn,
        enlarge_to=regime.enlarge_to,
        lengths=phase.lengths,
        layers=(regime.layers or phase.layers) if pretrained else "all",
        rate_divisors=phase.rate_divisors,
    )
