"""The Pareto front of the regimes, accuracy against time, and how certain it is.

A regime is on the front if no other regime is at least as accurate and as fast, and better in one of the two. Means
over a few seeds decide this, so a front is itself an estimate. The bootstrap resamples the seeds, all regimes and
models of a seed together, and counts the share of draws in which a regime is on the front.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from entr.analysis.aggregation import REPLICATES_FOR_INTERVAL
from entr.analysis.estimation import REPLICATES_FOR_BOOTSTRAP, RESAMPLES, SEED, estimate
from entr.analysis.paired_effects import outcomes
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import ALL

CASE = ["stage", "resolution", "time_basis"]
"""Columns that identify a set of fronts."""
SECONDS, RATIO = "s", "1"
"""Units of *T*: absolute, and relative to the control."""
TIE_DIGITS = 9
"""Decimals after which means are equal; they may differ beyond by the order of their sums."""


@dataclass(frozen=True)
class Competition:
    """The regimes that compete for a place on one front, and what their seeds measured."""

    scope: str
    dataset: str
    model: str
    regimes: tuple[str, ...]
    samples: tuple[NDArray[np.floating], ...]
    """Of each dataset, shape (seeds, regimes, 2): accuracy as a fraction, and *T* in s; relative to a control, the
    difference in accuracy and the natural logarithm of the ratio of *T*."""
    comparator: str = ""
    """The control, unless the values are absolute."""


def write_fronts(metrics: str | Path, control: str, *, table: str | Path) -> None:
    """Find the Pareto front of each dataset and model, and of all together.

    Parameters
    ----------
    metrics : path
        The table of `aggregation.metrics_table`.
    control : str
        The regime that the others are compared with.
    table : path
        CSV file, see `fronts_table`.

    Raises
    ------
    EntrError
        If the table is damaged.
    """
    write_table(fronts_table(read_table(metrics), control), table)


def fronts_table(metrics: pd.DataFrame, control: str, draws: int = RESAMPLES) -> pd.DataFrame:
    """Return the place of each regime relative to the Pareto front.

    Parameters
    ----------
    metrics : DataFrame
        The table of `aggregation.metrics_table`.
    control : str
        The regime that the others are compared with.
    draws : int
        Number of bootstrap draws.

    Returns
    -------
    DataFrame
        One row per regime and front. ``scope`` is ``block`` (one dataset and model): ``accuracy`` is the mean
        accuracy, a fraction, and ``time`` the mean *T* in s. Or it is ``dataset`` (mean over its models) or ``all``
        (mean over datasets): ``accuracy`` is the mean difference from the ``comparator``, and ``time`` the geometric
        mean of the ratio of *T* to it. ``on_front`` tells whether these means are on the front; ``front_share`` is
        the share of bootstrap draws in which they are.
    """
    rows: list[dict[str, Any]] = []
    for key, group in outcomes(metrics).groupby(CASE, sort=False):
        case = dict(zip(CASE, key, strict=True))
        for competition in _competitions(group, control):
            rows += _rows(competition, case, draws)
    return pd.DataFrame(rows)


def on_front(accuracy: NDArray[np.floating], time: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which regimes no other dominates: as good in accuracy and time, and better in one of them.

    Parameters
    ----------
    accuracy, time : array, shape (..., regimes)
        Higher accuracy and lower time are better.

    Returns
    -------
    array of bool, shape (..., regimes)
        Equal regimes do not dominate each other.
    """
    dominated = np.zeros(accuracy.shape, dtype=bool)
    for rival in range(accuracy.shape[-1]):
        a, t = accuracy[..., [rival]], time[..., [rival]]
        dominated |= (a >= accuracy) & (t <= time) & ((a > accuracy) | (t < time))
    return ~dominated


def front_shares(samples: Sequence[NDArray[np.floating]], draws: int = RESAMPLES) -> NDArray[np.floating]:
    """Return the share of bootstrap draws in which each regime is on the front.

    The seeds of each dataset are resampled with replacement, all regimes of a seed together, and the means of the
    datasets are averaged (Efron 1979, Ann. Statist. 7, 1). Such a share is a measure of confidence and not a p-value
    (Efron & Tibshirani 1998, Ann. Statist. 26, 1687).

    Parameters
    ----------
    samples : sequence of array, each of shape (seeds, regimes, 2)
        Accuracies and times, see `Competition`.
    draws : int
        Number of draws; the random numbers are the same in every call.

    Returns
    -------
    array, shape (regimes,)
        NaN if a dataset has fewer than two seeds.
    """
    if min(map(len, samples)) < 2:
        return np.full(samples[0].shape[1], np.nan)
    rng = np.random.default_rng(SEED)
    means = np.zeros((draws, *samples[0].shape[1:]))
    for sample in samples:
        seeds = len(sample)
        # how often each seed is drawn; a product with the values is faster than indexing them
        counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
        means += np.tensordot(counts / seeds, sample, axes=1) / len(samples)
    return _on_front(means).mean(axis=0)


def _on_front(means: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which regimes are on the front, for means of the shape (..., regimes, 2)."""
    rounded = means.round(TIE_DIGITS)
    return on_front(rounded[..., 0], rounded[..., 1])


def _competitions(table: pd.DataFrame, control: str) -> Iterator[Competition]:
    """Yield the competition over all datasets, then those of each dataset, then those of each of its models."""
    blocks = {key: _values(rows) for key, rows in table.groupby(["dataset", "model"], sort=False)}
    datasets: dict[str, list[pd.DataFrame]] = {}
    for (dataset, _), values in blocks.items():
        datasets.setdefault(dataset, []).append(_relative(values, control))
    means = {dataset: _mean_over_models(models) for dataset, models in datasets.items()}
    yield from _competition("all", ALL, ALL, list(means.values()), control)
    for dataset, values in means.items():
        yield from _competition("dataset", dataset, ALL, [values], control)
    for (dataset, model), values in blocks.items():
        yield from _competition("block", dataset, model, [values])


def _values(rows: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy and time of a dataset and model: one row per seed, one column per value and regime."""
    wide = rows.pivot(index="seed", columns="regime", values=["accuracy", "time"])  # noqa: PD010  no mean
    # in the order of the grid, which pivoting loses
    return wide[list(product(("accuracy", "time"), rows["regime"].unique()))]


def _relative(values: pd.DataFrame, control: str) -> pd.DataFrame:
    """Return differences in accuracy and logarithms of the ratios of *T*; no column if there is no control."""
    if control not in values["accuracy"]:
        return pd.DataFrame(index=values.index)
    parts = {"accuracy": values["accuracy"], "time": np.log(values["time"])}
    return pd.concat({name: part.sub(part[control], axis=0) for name, part in parts.items()}, axis=1)


def _mean_over_models(models: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return means over models, missing where a model lacks a seed, which would average over other models."""
    common = _with_common_regimes(models)
    return sum(common[1:], common[0]) / len(common)


def _with_common_regimes(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return the tables with the regimes that all of them have, in the same order."""
    columns = [column for column in tables[0] if all(column in table for table in tables)]
    return [table[columns] for table in tables]


def _competition(
    scope: str, dataset: str, model: str, tables: Sequence[pd.DataFrame], comparator: str = ""
) -> Iterator[Competition]:
    """Yield a competition, if each dataset has a seed with the same two or more regimes."""
    complete = [table.dropna() for table in _with_common_regimes(tables)]
    # two columns per regime
    if all(len(table) and table.shape[1] > 2 for table in complete):
        regimes = tuple(complete[0]["accuracy"])
        samples = [np.stack([table["accuracy"], table["time"]], axis=-1) for table in complete]
        yield Competition(scope, dataset, model, regimes, tuple(samples), comparator)


def _rows(competition: Competition, case: Mapping[str, str], draws: int) -> Iterator[dict[str, Any]]:
    """Yield the row of each regime."""
    samples = competition.samples
    front = _on_front(np.mean([sample.mean(axis=0) for sample in samples], axis=0))
    shares = front_shares(samples, draws)
    is_relative = bool(competition.comparator)
    for number, regime in enumerate(competition.regimes):
        accuracy, time = ([sample[:, number, value] for sample in samples] for value in (0, 1))
        yield {
            "scope": competition.scope,
            "dataset": competition.dataset,
            "model": competition.model,
            "regime": regime,
            **case,
            "comparator": competition.comparator,
            "replicates": sum(map(len, samples)),
            **_mean("accuracy", accuracy),
            **_mean("time", time, is_logarithm=is_relative),
            "unit": RATIO if is_relative else SECONDS,
            "on_front": bool(front[number]),
            "front_share": shares[number],
            "note": _note(samples),
        }


def _mean(name: str, samples: Sequence[NDArray[np.floating]], *, is_logarithm: bool = False) -> dict[str, float]:
    """Return a mean and the limits of its 95 % interval over further seeds on the same images."""
    result = estimate(samples, overlap=0, flips=1)
    has_interval = result.replicates >= REPLICATES_FOR_INTERVAL
    limits = (result.student.low, result.student.high) if has_interval else (np.nan, np.nan)
    with np.errstate(over="ignore"):
        values = [float(np.exp(value)) if is_logarithm else value for value in (result.mean, *limits)]
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def _note(samples: Sequence[NDArray[np.floating]]) -> str:
    """Return the limitations of a sample size."""
    seeds = [len(sample) for sample in samples]
    if min(seeds) < 2:
        return "one replicate: no share" if sum(seeds) == 1 else "a dataset has one replicate: no share"
    if min(seeds) * len(seeds) < REPLICATES_FOR_BOOTSTRAP:
        return f"fewer than {REPLICATES_FOR_BOOTSTRAP} replicates: the share is too close to 0 or 1"
    return ""
