"""The base class of the configuration's sections and of the metrics of a cell."""

from pydantic import AfterValidator, BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """An immutable model that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _reject_duplicates(values: tuple) -> tuple:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} is listed more than once; list each value once")
    return values


Unique = AfterValidator(_reject_duplicates)
"""Validator of a sequence without duplicates."""
