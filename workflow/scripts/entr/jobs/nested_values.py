"""Nested mappings as flat ones."""

import json
from collections.abc import Mapping
from typing import Any


def flatten(values: Mapping[Any, Any], prefix: str = "") -> dict[str, str]:
    """Return the leaves of a nested mapping as text, by their path of keys joined by full stops."""
    leaves: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            leaves |= flatten(dict(enumerate(value)), f"{prefix}{key}.")
        elif isinstance(value, Mapping) and value:
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return leaves
