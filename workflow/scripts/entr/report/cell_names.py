"""Cells named in words."""

from collections.abc import Iterable


def group_by_seed(cells: Iterable[tuple[str, str, str, int]]) -> list[str]:
    """Return cells as text, with the seeds of each dataset, model and regime together."""
    seeds: dict[str, list[str]] = {}
    for dataset, model, regime, seed in cells:
        seeds.setdefault(f"{dataset} {model} {regime}", []).append(str(seed))
    return [f"{name} {'seed' if len(of) == 1 else 'seeds'} {', '.join(of)}" for name, of in seeds.items()]
