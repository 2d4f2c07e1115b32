"""The base of every part of the configuration and of what cells write."""

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen mapping of known keys that refuses others."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _distinct(values: tuple) -> tuple:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} is listed more than once; list each once")
    return values


Distinct = AfterValidator(_distinct)
"""Of a sequence: no value twice."""
