"""Regimes: the image size of each training phase."""

from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from entr.config.base import FrozenModel, scale_size
from entr.config.training import Layers

TTA = "tta"
"""The key of a regime for the image size of test-time augmentation."""

Pixels = Annotated[int, Field(strict=True, gt=0)]


class RandomSizes(FrozenModel):
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


class Regime(BaseModel):
    """The image size in px of each phase, by the name of the phase, and of `tta`, which is only evaluated.

    A size is a number, a list with one number per epoch of the phase, or `{random: [sizes]}`, one of which is drawn
    for each batch.
    """

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, Sizes]

    upsample_to: PositiveInt | None = None
    """Image side in px to which the downscaled images of each phase are upsampled: they lose detail, but training
    costs as much as at this size."""
    layers: Layers | None = None
    """Layers that every phase trains, overriding the setting of the phase."""
    training: dict[str, Any] = {}
    """Keys of `training` that differ in this regime, such as fewer epochs."""

    @property
    def sizes(self) -> dict[str, Any]:
        """The image sizes of each phase and of `tta`, as configured."""
        return dict(self.__pydantic_extra__)

    def all_sizes(self) -> dict[str, tuple[int, ...]]:
        """Return every image size in px of each phase and of `tta`."""
        return {phase: _as_tuple(size) for phase, size in self.sizes.items()}

    def at_scale(self, scale: float) -> Self:
        """Return the regime with every image size multiplied by `scale`."""
        scaled = {phase: _scaled(size, scale) for phase, size in self.sizes.items()}
        upsample_to = self.upsample_to and scale_size(self.upsample_to, scale)
        return type(self)(**scaled, upsample_to=upsample_to, layers=self.layers, training=self.training)


def _scaled(size: int | tuple[int, ...] | RandomSizes, scale: float) -> int | tuple[int, ...] | RandomSizes:
    if isinstance(size, RandomSizes):
        return RandomSizes(random=tuple(scale_size(one, scale) for one in size.random))
    return tuple(scale_size(one, scale) for one in size) if isinstance(size, tuple) else scale_size(size, scale)


def _as_tuple(size: int | tuple[int, ...] | RandomSizes) -> tuple[int, ...]:
    if isinstance(size, RandomSizes):
        return size.random
    return size if isinstance(size, tuple) else (size,)
