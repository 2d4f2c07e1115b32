"""The base of every part of the configuration and of what cells write."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen mapping of known keys that refuses others."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
