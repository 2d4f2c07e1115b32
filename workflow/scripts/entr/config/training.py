"""Training settings: phases, augmentation, learning-rate finder."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from entr.config.base import Section, Side, Unique, scale_size

Layers = Literal["head", "all"]
ResizeMethod = Literal["crop", "squish", "pad"]
Match = Literal["epochs", "time"]
MAX_EPOCHS = 10_000
"""Largest number of epochs of a phase."""
STEPS_TO_CHOOSE = 20
"""Minimum number of steps of the learning-rate finder if its suggestion is used."""


class Phase(Section):
    """A training phase: cosine cycles of the learning rate over some of the layers."""

    cycles: PositiveInt = 1
    """Number of cosine cycles; each starts at the full learning rate."""
    cycle_length: PositiveInt = 1
    """Epochs in the first cycle."""
    cycle_mult: PositiveInt = 1
    """Ratio of the length of each cycle to that of the previous one."""
    layers: Layers = "head"
    """Layers that are trained: the `head` only, or `all`."""
    lr_divisors: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1, 1, 1)
    """Divisors of the learning rate for the early layers, the late layers and the head."""
    lr_factors: tuple[NonNegativeFloat, NonNegativeFloat] = (1, 0)
    """Factors of the learning rate at the start and at the end of each cycle."""
    anneal: Literal["cosine", "linear"] = "cosine"
    """Shape of the learning rate between them."""
    learning_rate: PositiveFloat | None = None
    """Learning rate of this phase, instead of `training.learning_rate`."""
    batch_size: Annotated[int, Field(ge=2)] | None = None
    """Images per training step of this phase, instead of `training.batch_size`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout probability of this phase, instead of `training.dropout`."""
    augmentation: dict[str, JsonValue] = {}
    """Keys of `training.augmentation` that differ in this phase."""
    mixup: NonNegativeFloat = 0
    """Parameter α of the Beta distribution of mixup, by which pairs of images and their labels are blended (Zhang et
    al. 2018, arXiv 1710.09412); 0: no mixup."""

    @model_validator(mode="after")
    def _limit_the_epochs(self) -> Self:
        epochs, length = 0, self.cycle_length
        for _ in range(self.cycles):
            epochs += length
            length *= self.cycle_mult
            if epochs > MAX_EPOCHS:
                raise ValueError(f"more than {MAX_EPOCHS} epochs; lower cycles, cycle_length or cycle_mult")
        return self

    @property
    def lengths(self) -> tuple[int, ...]:
        """Epochs in each cycle."""
        return tuple(self.cycle_length * self.cycle_mult**cycle for cycle in range(self.cycles))


class Augmentation(Section):
    """Random transformations of each training image, drawn anew in every epoch."""

    flip: Literal["none", "horizontal", "dihedral"] = "dihedral"
    """Flips: none, horizontal, or all eight symmetries of the square."""
    max_rotate: NonNegativeFloat = 10
    """Maximum rotation in either direction, in degrees."""
    max_zoom: Annotated[float, Field(ge=1)] = 1.1
    """Maximum zoom factor."""
    max_warp: NonNegativeFloat = 0.05
    """Maximum perspective distortion, as a fraction of the image."""
    max_lighting: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Maximum relative change in brightness and contrast."""


class LearningRateFinder(Section):
    """The learning-rate finder, which runs and is recorded before each phase."""

    start: PositiveFloat = 1e-5
    """First learning rate."""
    end: PositiveFloat = 10
    """Last learning rate, unless the loss exceeds four times its minimum before that."""
    steps: Annotated[int, Field(ge=2)] = 100
    """Training steps over which the learning rate grows exponentially."""
    rule: Literal["none", "valley", "steep", "minimum"] = "none"
    """fastai's suggestion that replaces `learning_rate` in the phase: `valley`, two thirds of the way through the
    longest decrease in the loss; `steep`, where the loss falls fastest; `minimum`, a tenth of the learning rate at the
    minimum of the loss; or `none`, the default, because a learning rate tuned per regime would be a confounder."""

    @model_validator(mode="after")
    def _require_enough_steps_for_the_rule(self) -> Self:
        if self.rule != "none" and self.steps < STEPS_TO_CHOOSE:
            raise ValueError(f"rule: {self.rule} needs a curve of at least {STEPS_TO_CHOOSE} steps; raise steps")
        return self


class Training(Section):
    """Training settings of each cell of a dataset; the same for every regime, so that only the image size differs."""

    phases: Annotated[dict[str, Phase], Field(min_length=1)] = {
        "sgdr": Phase(cycle_length=2),
        "clrs": Phase(cycles=3),
        "cmult": Phase(cycles=3, cycle_mult=2),
        "rpl": Phase(cycles=3, cycle_mult=2, layers="all", lr_divisors=(9, 3, 1)),
    }
    """Training phases, by name. Those of the paper: `sgdr`, warm restarts; `clrs`, cyclical learning rates; `cmult`,
    cycles that double in length; `rpl`, fine-tuning of all layers."""
    schedule: Annotated[tuple[str, ...], Field(min_length=1), Unique] = ("sgdr", "clrs", "cmult", "rpl")
    """Names of the phases in the order in which they run. A list, because merging configuration files does not preserve
    the order of a mapping."""
    subtotal_after: str = "cmult"
    """Phase after which the stage `sub-total` (before fine-tuning) is evaluated."""
    full_size: Side = 250
    """Image side in px at which every stage is evaluated in addition to the size of its phase."""
    resize_method: ResizeMethod = "crop"
    """How an image is made square: `crop` scales the shorter side and crops, `squish` scales both sides, `pad` scales
    the longer side and pads with black."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Images per training step."""
    batch_size_at: Side | None = None
    """Image side in px to which `batch_size` refers, if the batch size depends on the image size: smaller images are
    trained in larger batches, so that each step has about the same number of pixels. By default, all sizes have the
    same batch size."""
    learning_rate: PositiveFloat = 1e-2
    """Learning rate of the head at the start of each cycle."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of stochastic gradient descent."""
    weight_decay: NonNegativeFloat = 0
    """Weight decay of stochastic gradient descent."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout probability before each of the two linear layers of the head."""
    freeze_batchnorm: bool = False
    """Whether BatchNorm layers of a pretrained backbone keep their weights and statistics when all layers are trained.
    In a short fine-tuning, new statistics lower the accuracy, because the head was trained with the old ones. Without
    them, training needs lower learning rates: raise `lr_divisors` of the phase about tenfold."""
    augmentation: Augmentation = Augmentation()
    """Augmentation of training images and of test-time augmentation."""
    tta_views: NonNegativeInt = 4
    """Augmented views that test-time augmentation averages with the unaugmented one."""
    evaluation_sizes: Annotated[tuple[Side, ...], Unique] = (75, 100, 150, 200, 250, 300, 350)
    """Additional image sides in px at which the trained model is evaluated, because a model may be more accurate at a
    size other than the one it was trained at."""
    lr_finder: LearningRateFinder = LearningRateFinder()
    """Learning-rate finder."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """Device for training and inference. `auto` uses a GPU if there is one, and logs the choice."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Precision of the forward pass: `float32`; `bf16`, mixed precision on a GPU; or `auto`, `bf16` on a GPU that
    supports it natively and `float32` elsewhere."""
    tf32: bool = True
    """Whether a GPU that supports TF32 rounds the factors of float32 matrix products to 10 mantissa bits."""
    deterministic: bool = False
    """Whether a GPU uses deterministic kernels where torch provides them."""
    compile_mode: Literal["none", "default", "reduce-overhead"] = "none"
    """Mode of `torch.compile` for the training steps, compiled once per combination of image size and trained layers,
    outside the timed section. `reduce-overhead` records CUDA graphs, for launch-bound GPUs, on which smaller images
    would otherwise be no faster."""
    gradient_accumulation: PositiveInt = 1
    """Micro-batches into which a batch is divided if it does not fit into memory. Their gradients are summed; BatchNorm
    normalises each micro-batch separately."""

    def at_scale(self, scale: float) -> Self:
        """Return these settings with every image size multiplied by `scale`."""
        sizes = dict.fromkeys(scale_size(size, scale) for size in self.evaluation_sizes)
        return self.model_copy(
            update={
                "full_size": scale_size(self.full_size, scale),
                "evaluation_sizes": tuple(sizes),
                "batch_size_at": self.batch_size_at and scale_size(self.batch_size_at, scale),
            }
        )

    def augmentation_in(self, phase: str) -> Augmentation:
        """Return the augmentation of a phase.

        Raises
        ------
        pydantic.ValidationError
            If a key of the phase's augmentation is invalid.
        """
        return Augmentation.model_validate(self.augmentation.model_dump() | self.phases[phase].augmentation)
