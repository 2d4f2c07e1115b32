"""The shipped configuration files, merged like Snakemake merges them."""

import yaml
from conftest import ROOT

CATALOGUE = ROOT / "config" / "datasets.yaml"
FILES = [CATALOGUE, ROOT / "config" / "config.yaml"]
PAPER = ROOT / "config" / "paper.yaml"


def merged(*files, **changes):
    """Return the values of files, each merged over the previous ones, with changes merged over them."""
    values = {}
    for layer in [*(yaml.safe_load(file.read_text(encoding="utf-8")) for file in files), changes]:
        _merge(values, layer)
    return values


def _merge(below, above):
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = value
