"""Names of the available models, read from source files because importing the packages takes ten seconds."""

import importlib.util
import re
from functools import cache
from pathlib import Path

PACKAGES = ("torchvision", "timm")
REGISTERED = re.compile(r"^@register_model\b.*\n(?:@.*\n(?:[ )].*\n)*)*def (\w+)", re.MULTILINE)
"""The declaration by which both packages register a model under its name."""


@cache
def model_names() -> frozenset[str]:
    """Return the names of the classification models of torchvision and timm, without timm's tags.

    Returns
    -------
    frozenset of str
        Empty if neither package is installed in the environment that runs Snakemake.
    """
    names: set[str] = set()
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            for path in Path(folder, "models").glob("*.py"):
                names.update(REGISTERED.findall(path.read_text(encoding="utf-8")))
    return frozenset(names)
