"""The base class of the configuration's sections and of the metrics of a cell, and the rounding of sizes."""

from pydantic import AfterValidator, BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """An immutable model that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def scale_size(size: int, scale: float) -> int:
    """Return an image size in px multiplied by `scale`.

    It is rounded to an even number, because the stem of most networks halves the image.
    """
    return size if scale == 1 else 2 * round(size * scale / 2)


def _reject_duplicates(values: tuple) -> tuple:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} is listed more than once; list each value once")
    return values


Unique = AfterValidator(_reject_duplicates)
"""Validator of a sequence without duplicates."""
