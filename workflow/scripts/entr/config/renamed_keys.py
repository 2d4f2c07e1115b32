"""Keys and values of the configuration that were renamed, with their new names."""

from collections.abc import Iterator, Mapping
from typing import Any

from entr.jobs.errors import shown

VERSION = "0.2.0"
"""The version that renamed them."""

RENAMED_KEYS = {
    "logging": "logger",
    "download.max_dead": "download.max_failed_fraction",
    "images.reduce_by": "images.resize_side",
    "images.max_size": "images.max_side",
    "images.min_size": "images.min_side",
    "images.max_distance": "images.max_hash_distance",
    "images.max_rejected": "images.max_rejected_fraction",
    "datasets.*.size": "datasets.*.bytes",
    "datasets.*.label": "datasets.*.label_regex",
    "datasets.*.parts": "datasets.*.splits",
    "datasets.*.stands_for": "datasets.*.stand_in_for",
    "regimes.*.enlarge_to": "regimes.*.upsample_to",
    "regimes.*.*.any": "regimes.*.*.random",
} | {
    f"{section}.{old}": f"{section}.{new}"
    for section in ("training", "datasets.*.training", "regimes.*.training")
    for old, new in {
        "rate_finder": "lr_finder",
        "phases.*.rate_divisors": "phases.*.lr_divisors",
        "test_sizes": "evaluation_sizes",
        "sub_total_after": "subtotal_after",
        "fit": "resize_method",
        "accumulation": "gradient_accumulation",
        "compile": "compile_mode",
    }.items()
}
"""New name of each renamed key; ``*`` stands for the name of a dataset, regime or phase."""

SOURCES = {"list": "url_list", "generated": "synthetic"}
REGIMES = {"blur": "upsampled", "body": "unfrozen"}
RENAMED_VALUES = {"datasets.*.source": SOURCES, "grid.regimes.*": REGIMES, "control": REGIMES}
"""New name of each renamed value, by key."""

Key = tuple[str | int, ...]


def renamed_settings(values: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Yield the path of each renamed key or value of a configuration, and a sentence that states its new name.

    Parameters
    ----------
    values : mapping
        A configuration. A regime that it defines itself may have the old name of another one.
    """
    regimes = values.get("regimes") or {}
    for path, value in _walk(values):
        for old, new in RENAMED_KEYS.items():
            if _matches(path, old):
                yield path, f"renamed in {VERSION}; use {_fill(new, path)}"
        for key, names in RENAMED_VALUES.items():
            if _matches(path, key) and isinstance(value, str) and (new_value := names.get(value)):
                is_own_regime = names is REGIMES and isinstance(regimes, Mapping) and value in regimes
                if not is_own_regime:
                    yield path, f"{value} was renamed in {VERSION}; use {new_value}"


def _walk(node: Any, path: Key = ()) -> Iterator[tuple[Key, Any]]:  # noqa: ANN401  a value of YAML
    """Yield every value of nested mappings and lists with its path."""
    if isinstance(node, list | tuple):
        node = dict(enumerate(node))
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        yield (*path, key), value
        yield from _walk(value, (*path, key))


def _matches(path: Key, pattern: str) -> bool:
    parts = pattern.split(".")
    return len(parts) == len(path) and all(part in {"*", key} for part, key in zip(parts, path, strict=True))


def _fill(pattern: str, path: Key) -> str:
    """Replace each ``*`` of a pattern by the part of a path in the same place."""
    parts = zip(pattern.split("."), path, strict=True)
    return ".".join(shown(key, str) if part == "*" else part for part, key in parts)
