"""The names of all networks, read without the ten seconds that importing them costs."""

import importlib.util
import re
from functools import cache
from pathlib import Path

PACKAGES = ("torchvision", "timm")
REGISTERED = re.compile(r"^@register_model\b.*\n(?:@.*\n(?:[ )].*\n)*)*def (\w+)", re.MULTILINE)
"""How both packages' sources declare a network that can be had by its name."""


@cache
def names() -> frozenset[str]:
    """Return the names of the classification networks of torchvision and timm, without timm's tags.

    Returns
    -------
    frozenset of str
        Empty when neither package is installed where snakemake runs.
    """
    found: set[str] = set()
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations if spec else ():
            for path in Path(folder, "models").glob("*.py"):
                found.update(REGISTERED.findall(path.read_text(encoding="utf-8")))
    return frozenset(found)
