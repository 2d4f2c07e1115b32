"""The recommended model and regime of a dataset: most accurate, most efficient, and best within limits."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from entr.analysis.aggregation import select_rows, summarise
from entr.analysis.estimation import ALPHA, estimate, validation_training_ratio
from entr.analysis.formatting import format_effect, format_number, format_percentage
from entr.analysis.paired_effects import outcomes
from entr.config.study_design import StudyDesign
from entr.metrics.labels import FINAL, PHASE

REPLICATES_FOR_COMPARISON = 3
"""Smallest number of replicates with which two candidates are compared."""
TIE_DIGITS = 9
"""Decimals after which means are equal; they may differ beyond by the order of their sums."""
ACCURATE, EFFICIENT, WITHIN_LIMITS = "accurate", "efficient", "within_limits"
GOALS = {
    ACCURATE: ("the most accurate", "accuracy"),
    EFFICIENT: ("the most efficient", "efficiency"),
    WITHIN_LIMITS: ("the best within your limits", "accuracy"),
}
"""Each goal in words, and the metric that it maximises."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % interval; NaN where there is none."""

    mean: float = np.nan
    low: float = np.nan
    high: float = np.nan


@dataclass(frozen=True)
class Choice:
    """The model and regime that are best for a goal."""

    dataset: str
    goal: str
    """A key of `GOALS`."""
    comparison: str
    """How it compares with the runner-up, and whether the difference may be noise."""
    recommended: bool
    """Whether this is the model that is exported to ``results/models``."""
    model: str = ""
    """Empty if nothing is within the limits."""
    regime: str = ""
    seed: int | None = None
    """The replicate of median accuracy, because picking the best one would bias the estimate upwards."""
    replicates: int = 0
    accuracy: Interval = Interval()
    seconds: Interval = Interval()
    efficiency: Interval = Interval()

    def row(self) -> dict[str, Any]:
        """Return the row of the table of recommendations."""
        row: dict[str, Any] = {
            "dataset": self.dataset,
            "goal": self.goal,
            "model": self.model,
            "regime": self.regime,
            "seed": self.seed,
            "replicates": self.replicates,
        }
        for name in ("accuracy", "seconds", "efficiency"):
            interval = getattr(self, name)
            row |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return row | {"comparison": self.comparison, "recommended": self.recommended}


def choose_models(
    metrics: pd.DataFrame,
    summary: pd.DataFrame,
    dataset: str,
    design: StudyDesign,
    limits: Mapping[str, float | None],
) -> Iterator[Choice]:
    """Yield the choices of a dataset, one per goal.

    Parameters
    ----------
    metrics, summary : DataFrame
        The tables of `aggregation.metrics_table` and `aggregation.summarise`.
    dataset : str
        Which dataset.
    design : StudyDesign
        The design of the study.
    limits : mapping
        The section ``recommend`` of the configuration: ``max_seconds`` and ``min_accuracy``.
    """
    seeds = select_rows(outcomes(metrics), dataset=dataset, stage=FINAL, resolution=PHASE, time_basis=design.time_basis)
    if not len(seeds):
        return
    common = _common_seeds(seeds)
    if len(common) < len(seeds):
        seeds = common
        summary = summarise(metrics[metrics["seed"].isin(set(common["seed"]))])
    by_candidate = seeds.groupby(["model", "regime"], sort=False)[["accuracy", "time", "efficiency"]]
    means = by_candidate.mean().round(TIE_DIGITS)
    limited = any(limit is not None for limit in limits.values())
    for goal, (_, metric) in GOALS.items():
        if goal == WITHIN_LIMITS and not limited:
            continue
        recommended = goal == (WITHIN_LIMITS if limited else ACCURATE)
        candidates = _within_limits(means, limits) if goal == WITHIN_LIMITS else means
        if len(candidates):
            ranked = candidates.sort_values([metric, "time"], ascending=[False, True])
            yield _choose_first(dataset, goal, ranked, seeds, summary, design, recommended=recommended)
        else:
            yield Choice(dataset, goal, _describe_nearest(means), recommended=False)


def _common_seeds(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the seeds that all candidates share, or all rows if they share none.

    Folds differ in difficulty, so means over different seeds are not comparable.
    """
    candidates = seeds.groupby("seed").size()
    common = candidates.index[candidates == len(seeds[["model", "regime"]].drop_duplicates())]
    return seeds[seeds["seed"].isin(common)] if len(common) else seeds


def choices_table(choices: Iterable[Choice]) -> pd.DataFrame:
    """Return the table of recommendations: one row per dataset and goal."""
    return pd.DataFrame([choice.row() for choice in choices])


def _within_limits(means: pd.DataFrame, limits: Mapping[str, float | None]) -> pd.DataFrame:
    fast_enough = means["time"] <= (limits["max_seconds"] or np.inf)
    return means[fast_enough & (means["accuracy"] >= (limits["min_accuracy"] or 0))]


def _choose_first(
    dataset: str,
    goal: str,
    ranked: pd.DataFrame,
    seeds: pd.DataFrame,
    summary: pd.DataFrame,
    design: StudyDesign,
    *,
    recommended: bool,
) -> Choice:
    model, regime = ranked.index[0]
    replicates = select_rows(seeds, model=model, regime=regime).sort_values(["accuracy", "seed"])
    rows = select_rows(summary, dataset=dataset, model=model, regime=regime, stage=FINAL, resolution=PHASE)
    rows = rows[rows["time_basis"].isin(["", design.time_basis])]
    return Choice(
        dataset=dataset,
        goal=goal,
        comparison=_compare_with_runner_up(ranked, seeds, GOALS[goal][1], design.folds),
        recommended=recommended,
        model=model,
        regime=regime,
        seed=int(replicates["seed"].iloc[(len(replicates) - 1) // 2]),
        replicates=len(replicates),
        accuracy=_interval(rows, "accuracy"),
        seconds=_interval(rows, "time"),
        efficiency=_interval(rows, "efficiency"),
    )


def _interval(rows: pd.DataFrame, metric: str) -> Interval:
    mean, low, high = select_rows(rows, metric=metric)[["mean", "low", "high"]].iloc[0].astype(float)
    return Interval(mean, low, high)


def _describe_nearest(means: pd.DataFrame) -> str:
    """Describe the candidates that are nearest to limits that none of them meets."""
    most_accurate = means.sort_values("accuracy", ascending=False).iloc[0]
    return (
        "no model of this grid is within your limits: the highest accuracy is "
        f"{format_percentage(most_accurate['accuracy'])} in {most_accurate['time']:.3g} s, the shortest time is "
        f"{means['time'].min():.3g} s"
    )


def _compare_with_runner_up(ranked: pd.DataFrame, seeds: pd.DataFrame, metric: str, folds: int) -> str:
    """Describe the difference between the first and the second candidate, paired by seed."""
    if len(ranked) < 2:
        return "no alternative was run"
    first, second = ranked.index[:2]
    table = seeds.pivot(index="seed", columns=["model", "regime"], values=metric)  # noqa: PD010  no mean
    table = np.log(table.where(table > 0)) if metric == "efficiency" else table
    pairs = (table[first] - table[second]).dropna().to_numpy()
    rival = " with ".join(second)
    if len(pairs) < REPLICATES_FOR_COMPARISON:
        return f"fewer than {REPLICATES_FOR_COMPARISON} replicates cannot distinguish it from {rival}; add seeds"
    lead = estimate([pairs], validation_training_ratio(folds))
    text = format_effect(metric, lead.mean, lead.corrected.low, lead.corrected.high)
    if lead.corrected.low > 0 and lead.testable and lead.p_decisive() <= ALPHA:
        return f"significantly above the runner-up, {rival}: {text}"
    return f"its lead over the runner-up, {rival}, may be noise: {text}; {_cheaper_of(ranked.iloc[:2], metric)}"


def _cheaper_of(candidates: pd.DataFrame, metric: str) -> str:
    """Name the cheaper of two candidates that cannot be distinguished."""
    if metric == "efficiency":
        return "choose either"
    times = candidates["time"].sort_values()
    less, more = map(format_number, times)
    return f"{' with '.join(times.index[0])} is cheaper, {less} s against {more} s"
