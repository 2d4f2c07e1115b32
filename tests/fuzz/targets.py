"""All targets of fuzzing, by name."""

from importlib import import_module

from fuzz.target import Target

NAMES = ("archives", "images", "url_lists", "configurations", "weights", "tables")


def load(name: str) -> Target:
    """Import a target; some of them import torch, which takes seconds."""
    return import_module(f"fuzz.{name}").TARGET
