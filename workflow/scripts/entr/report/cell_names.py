"""Cells and seeds in words."""

from collections.abc import Iterable, Mapping

import pandas as pd


def group_by_seed(cells: Iterable[tuple[str, str, str, int]]) -> list[str]:
    """Return cells as text, with the seeds of each dataset, model and regime together."""
    seeds: dict[str, list[str]] = {}
    for dataset, model, regime, seed in cells:
        seeds.setdefault(f"{dataset} {model} {regime}", []).append(str(seed))
    return [f"{name} {'seed' if len(of) == 1 else 'seeds'} {', '.join(of)}" for name, of in seeds.items()]


def seeds_by_dataset(cells: pd.DataFrame, titles: Mapping[str, str]) -> dict[str, int]:
    """Return how many seeds of each dataset are finished.

    Parameters
    ----------
    cells : DataFrame
        The table of cells.
    titles : mapping of str to str
        Titles of the datasets by name.

    Returns
    -------
    dict
        Keys are titles. Datasets without cells are left out.
    """
    counts = cells.groupby("dataset")["seed"].nunique()
    return {title: int(counts[name]) for name, title in titles.items() if name in counts}


def describe_seeds(cells: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """Return how many seeds are finished: of each dataset, if the datasets differ.

    Parameters
    ----------
    cells, titles
        As in `seeds_by_dataset`.
    """
    counts = seeds_by_dataset(cells, titles)
    if len(set(counts.values())) > 1:
        return ", ".join(f"{_count(number)} of {title}" for title, number in counts.items())
    return _count(next(iter(counts.values()), 0))


def _count(seeds: int) -> str:
    return "1 seed" if seeds == 1 else f"{seeds} seeds"
