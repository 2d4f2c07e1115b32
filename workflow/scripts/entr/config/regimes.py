"""Regimes: the image size of each training phase."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from entr.config.base import Section, Side, scale_size
from entr.config.training import Layers

TTA = "tta"
"""The key of a regime for the image size of test-time augmentation."""
RAMP = "ramp"
"""The key of a regime for an image size that increases through all phases."""

Pixels = Annotated[int, Field(strict=True, gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class RandomSizes(Section):
    """Image sizes in px, one of which is drawn for each batch."""

    random: Annotated[tuple[Pixels, ...], Field(min_length=1)]


def _describe_size_errors(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401  a value of YAML
    """Replace the errors of all alternatives of a size by one sentence."""
    try:
        return validate(value)
    except ValidationError:
        raise ValueError(
            f"should be a size in px, a list with one size per epoch, or {{random: [sizes]}}, but it is {value!r}"
        ) from None


Sizes = Annotated[
    Pixels | Annotated[tuple[Pixels, ...], Field(min_length=1)] | RandomSizes, WrapValidator(_describe_size_errors)
]
"""One size, one per epoch, or random sizes."""


class Ramp(Section):
    """An image size that increases linearly during a part of the training, and is constant before and after it."""

    sizes: tuple[Pixels, Pixels]
    """First and last image side in px."""
    during: tuple[Fraction, Fraction] = (0, 1)
    """Fractions of all epochs at which the increase begins and ends."""
    increment: Side = 1
    """Number of px of which the sizes in between are multiples."""
    update: Literal["step", "epoch"] = "epoch"
    """Whether the size is updated in each training step or in each epoch."""

    @model_validator(mode="after")
    def _require_an_increase(self) -> Self:
        if self.sizes[0] > self.sizes[1] or self.during[0] > self.during[1]:
            raise ValueError("sizes and during each need their first value before the larger one")
        return self

    def size_at(self, progress: float) -> int:
        """Return the image side in px at a fraction of the training, in [0, 1]."""
        (first, last), (begin, end) = self.sizes, self.during
        if progress <= begin or progress >= end:
            return first if progress <= begin else last
        size = first + (last - first) * (progress - begin) / (end - begin)
        return min(max(self.increment * round(size / self.increment), first), last)


class Regime(BaseModel):
    """The image size in px of each phase, by the name of the phase, and of `tta`, which is only evaluated.

    A size is a number, a list with one number per epoch of the phase, or `{random: [sizes]}`, one of which is drawn
    for each batch. Instead of the sizes of the phases, `ramp` may be given.
    """

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, Sizes]

    ramp: Ramp | None = None
    """A linear ramp of the image size through all phases, instead of a size per phase."""
    upsample_to: Side | None = None
    """Image side in px to which the downscaled images of each phase are upsampled: they lose detail, but training
    costs as much as at this size."""
    layers: Layers | None = None
    """Layers that every phase trains, overriding the setting of the phase."""
    training: dict[str, JsonValue] = {}
    """Keys of `training` that differ in this regime, such as fewer epochs."""

    @property
    def sizes(self) -> dict[str, Any]:
        """The image sizes of each phase and of `tta`, as configured."""
        return dict(self.__pydantic_extra__)

    def all_sizes(self) -> dict[str, tuple[int, ...]]:
        """Return every image size in px of each phase, or those of the ramp, and of `tta`."""
        sizes = {phase: _as_tuple(size) for phase, size in self.sizes.items()}
        return sizes | {RAMP: self.ramp.sizes} if self.ramp else sizes

    def at_scale(self, scale: float) -> Self:
        """Return the regime with every image size multiplied by `scale`, apart from those of the ramp."""
        scaled = {phase: _scaled(size, scale) for phase, size in self.sizes.items()}
        upsample_to = self.upsample_to and scale_size(self.upsample_to, scale)
        return self.model_copy(update={**scaled, "upsample_to": upsample_to})


def _scaled(size: int | tuple[int, ...] | RandomSizes, scale: float) -> int | tuple[int, ...] | RandomSizes:
    if isinstance(size, RandomSizes):
        return RandomSizes(random=tuple(scale_size(one, scale) for one in size.random))
    return tuple(scale_size(one, scale) for one in size) if isinstance(size, tuple) else scale_size(size, scale)


def _as_tuple(size: int | tuple[int, ...] | RandomSizes) -> tuple[int, ...]:
    if isinstance(size, RandomSizes):
        return size.random
    return size if isinstance(size, tuple) else (size,)
