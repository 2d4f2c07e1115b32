"""The base class of the configuration's sections and of the metrics of a cell, and the rounding of sizes."""

from collections import Counter
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SMALLEST_SCALED = 2
"""Smallest image size in px that scaling leads to."""


class FrozenModel(BaseModel):
    """An immutable model that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Section(FrozenModel):
    """A section of the configuration, in which all numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)


Side = Annotated[int, Field(gt=0, le=2**16)]
"""An image side in px."""


def scale_size(size: int, scale: float) -> int:
    """Return an image size in px multiplied by `scale`.

    It is rounded to an even number, because the stem of most networks halves the image, and at least 2.
    """
    return size if scale == 1 else max(SMALLEST_SCALED, 2 * round(size * scale / 2))


def _reject_duplicates(values: tuple) -> tuple:
    repeated = sorted(str(value) for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise ValueError(f"{', '.join(repeated)} is listed more than once; list each value once")
    return values


Unique = AfterValidator(_reject_duplicates)
"""Validator of a sequence without duplicates."""
