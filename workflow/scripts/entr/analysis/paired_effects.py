"""Effects of the regimes relative to the control, paired by seed: differences, intervals and tests.

A seed is one fold of a dataset with one set of initial weights and one order of batches, which all models
and regimes of that dataset share. A *replicate* is one seed of one dataset: the difference between two
regimes, averaged over the models. Models of a seed are correlated and are not counted as independent.
Datasets are independent; each has equal weight, as have the models within one. Datasets and models are
fixed, not sampled: an interval applies to further seeds, not to further datasets.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from entr.analysis.estimation import (
    MARGIN,
    Estimate,
    Sample,
    estimate,
    holm,
    replicate_means,
    seeds_needed,
    validation_training_ratio,
)
from entr.analysis.formatting import describe_smallest_p
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import ALL

PAIR = ["dataset", "model", "seed", "regime", "stage", "resolution", "time_basis"]
"""Columns that identify a pair."""
CASE = ["regime", "stage", "resolution", "time_basis"]
"""Columns that identify the effects that are estimated together."""
EFFECT_UNITS = {"accuracy_difference": "fraction", "log_time_ratio": "ln", "log_efficiency_ratio": "ln"}
SCOPES = ("all", "dataset", "block")


def write_effects(metrics: str | Path, control: str, folds: int, *, pairs: str | Path, effects: str | Path) -> None:
    """Estimate the effect of every regime relative to the control.

    Parameters
    ----------
    metrics : path
        The table of `aggregation.metrics_table`.
    control : str
        The regime that the others are compared with.
    folds : int
        Folds of a partition; they determine how much the training images of two seeds overlap.
    pairs, effects : path
        CSV files: one row per pair of cells, see `pair_with_control`; one row per effect, see
        `effects_table`.

    Raises
    ------
    EntrError
        If the table is damaged.
    """
    paired = pair_with_control(read_table(metrics), control)
    write_table(paired, pairs)
    write_table(effects_table(paired, validation_training_ratio(folds)), effects)


def pair_with_control(metrics: pd.DataFrame, control: str) -> pd.DataFrame:
    """Pair each cell with the control of the same dataset, model and seed.

    Parameters
    ----------
    metrics : DataFrame
        The table of `aggregation.metrics_table`.
    control : str
        The regime that the others are compared with.

    Returns
    -------
    DataFrame
        One row per pair, stage, ``resolution`` and ``time_basis``, only where both cells exist.
        Accuracies are fractions, times are in s, efficiencies in s^-1/2. ``accuracy_difference`` is a
        fraction; ``log_time_ratio`` and ``log_efficiency_ratio`` are natural logarithms of treatment over
        control.
    """
    table = outcomes(metrics)
    keys = [key for key in PAIR if key != "regime"]
    control_rows = table[table["regime"] == control].drop(columns="regime")
    pairs = table[table["regime"] != control].merge(control_rows, on=keys, suffixes=("", "_of_control"))
    pairs["accuracy_difference"] = pairs["accuracy"] - pairs["accuracy_of_control"]
    values = ["accuracy", "accuracy_of_control", "accuracy_difference"]
    for metric in ("time", "efficiency"):
        ratio = pairs[metric] / pairs[f"{metric}_of_control"]
        pairs[f"{metric}_ratio"] = ratio
        # an accuracy of zero has no logarithm
        pairs[f"log_{metric}_ratio"] = np.log(ratio.where((ratio > 0) & np.isfinite(ratio)))
        values += [metric, f"{metric}_of_control", f"{metric}_ratio", f"log_{metric}_ratio"]
    return pairs[[*PAIR, *values]]


def outcomes(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy, time and efficiency as columns: one row per cell, stage, resolution and time basis."""
    keys = [key for key in PAIR if key != "time_basis"]
    columns = {
        name: metrics[metrics["metric"] == name].rename(columns={"value": name})
        for name in ("accuracy", "time", "efficiency")
    }
    table = columns["time"][[*PAIR, "time"]].merge(columns["efficiency"][[*PAIR, "efficiency"]], on=PAIR)
    return table.merge(columns["accuracy"][[*keys, "accuracy"]], on=keys)


def effects_table(pairs: pd.DataFrame, overlap: float, margin: float = MARGIN) -> pd.DataFrame:
    """Return the effect of each regime, per dataset and model, and pooled.

    Parameters
    ----------
    pairs : DataFrame
        The table of `pair_with_control`.
    overlap : float
        Ratio of validation to training images, see `validation_training_ratio`.
    margin : float
        Equivalence margin of accuracies, a fraction.

    Returns
    -------
    DataFrame
        One row per effect. ``scope`` is ``block`` (one dataset and model), ``dataset`` (mean over its
        models) or ``all`` (mean over datasets). ``accuracy_difference``, ``time_ratio`` and
        ``efficiency_ratio`` are the three means, in every row; ``metric`` names the one that the rest of
        the row describes. ``p_holm`` is ``p`` adjusted over its ``family``: all regimes, stages, datasets
        and models of one scope, metric, ``resolution`` and ``time_basis`` (Holm 1979).
    """
    rows = []
    for key, group in pairs.groupby(CASE, sort=False):
        case = dict(zip(CASE, key, strict=True))
        rows += [case | row for row in _effect_rows(group, overlap, margin)]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    leading = ["scope", "dataset", "model", *CASE, "accuracy_difference", "time_ratio", "efficiency_ratio", "metric"]
    table = table[[*leading, *(name for name in table if name not in leading)]]
    order = {scope: position for position, scope in enumerate(SCOPES)}
    return _with_holm(table.sort_values("scope", key=lambda scope: scope.map(order), kind="stable"))


def _effect_rows(group: pd.DataFrame, overlap: float, margin: float) -> Iterator[dict[str, Any]]:
    """Yield the effects of one regime at one stage, resolution and time basis."""
    wide = group.pivot(index=["dataset", "seed"], columns="model", values=list(EFFECT_UNITS))  # noqa: PD010  no mean
    for scope, dataset, model, differences in scopes(wide, "accuracy_difference"):
        samples = {metric: replicate_means(differences[metric]) for metric in EFFECT_UNITS}
        estimates = {
            metric: estimate(list(values.values()), overlap, bootstrap=True)
            for metric, values in samples.items()
            if values
        }
        means = {metric: estimates[metric].mean if metric in estimates else np.nan for metric in EFFECT_UNITS}
        datasets = differences.index.get_level_values("dataset").nunique()
        shared = {
            "scope": scope,
            "dataset": dataset,
            "model": model,
            "accuracy_difference": means["accuracy_difference"],
            "time_ratio": np.exp(means["log_time_ratio"]),
            "efficiency_ratio": np.exp(means["log_efficiency_ratio"]),
        }
        for metric, result in estimates.items():
            note = _note(result, differences[metric], samples[metric])
            yield (
                shared
                | {"metric": metric, "unit": EFFECT_UNITS[metric]}
                | _statistics(result, metric, margin, datasets)
                | {"note": note}
            )


def scopes(wide: pd.DataFrame, complete: str) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Yield all differences, then those of each dataset, then those of each of its models.

    Parameters
    ----------
    wide : DataFrame
        Differences of one regime, indexed by dataset and seed, with the column levels ``metric`` and ``model``.
    complete : str
        A metric that no pair lacks; an efficiency ratio, for instance, is missing where an accuracy is zero.

    Yields
    ------
    scope, dataset, model : str
        One of `SCOPES`, and the names or `ALL`.
    differences : DataFrame
        The part of the table with the models that have pairs.
    """
    yield "all", ALL, ALL, wide
    for dataset, rows in wide.groupby(level="dataset", sort=False):
        models = rows[complete].dropna(axis=1, how="all").columns
        yield "dataset", dataset, ALL, rows.loc[:, rows.columns.get_level_values("model").isin(models)]
        for model in models:
            yield "block", dataset, model, rows.xs(model, level="model", axis=1, drop_level=False)


def _statistics(result: Estimate, metric: str, margin: float, datasets: int) -> dict[str, Any]:
    """Return the columns of the effects table that an estimate fills."""
    is_accuracy = metric == "accuracy_difference"
    return {
        "replicates": result.replicates,
        "mean": result.mean,
        "sd": result.sd,
        "low": result.student.low,
        "high": result.student.high,
        "low_corrected": result.corrected.low,
        "high_corrected": result.corrected.high,
        "bootstrap_low": result.bootstrap_low,
        "bootstrap_high": result.bootstrap_high,
        "p": result.p,
        "p_corrected": result.corrected.p,
        "effect_size": result.mean / result.sd if result.sd > 0 else np.nan,
        "margin": margin if is_accuracy else np.nan,
        "p_equivalent": result.p_within(margin) if is_accuracy else np.nan,
        "p_not_worse": result.p_above(-margin) if is_accuracy else np.nan,
        "seeds_needed": np.nan if is_accuracy else seeds_needed(result.sd, datasets),
    }


def _note(result: Estimate, differences: pd.DataFrame, samples: Mapping[str, Sample]) -> str:
    """Return the limitations of a sample size."""
    notes = []
    fewest = min(map(len, samples.values()))
    if fewest < 2:
        subject = "one replicate" if result.replicates == 1 else "a dataset has one replicate"
        notes.append(f"{subject}: no interval, no p-value")
    elif not result.testable:
        notes.append(describe_smallest_p(result))
    if result.constant:
        notes.append("equal in every replicate: no interval")
    excluded = len(differences.dropna(how="all")) - result.replicates
    if excluded:
        notes.append(
            "1 seed excluded, because it lacks a model"
            if excluded == 1
            else f"{excluded} seeds excluded, because they lack a model"
        )
    return "; ".join(notes)


def _with_holm(table: pd.DataFrame) -> pd.DataFrame:
    """Adjust p-values over each family; effects without a p-value are not members of it."""
    family = table["scope"] + ": " + table["metric"] + ", " + table["resolution"] + ", " + table["time_basis"]
    adjusted = pd.Series(np.nan, table.index)
    sizes = table["p"].groupby(family).transform("count")
    for _, p in table["p"].dropna().groupby(family):
        adjusted[p.index] = holm(p.to_numpy())
    after_p = table.columns.get_loc("p") + 1
    table.insert(after_p, "p_holm", adjusted)
    table.insert(after_p + 1, "family", family + " (" + sizes.astype(str) + ")")
    return table.reset_index(drop=True)
