"""Comparisons that a claim requires, and what they show together.

A claim that requires several comparisons at once needs each at p <= 0.05 without correction
(intersection-union test, Berger 1982, Technometrics 24, 295). If some of several comparisons suffice,
their p-values are adjusted by Holm.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from entr.analysis.estimation import ALPHA, TARGET_RATIO, Estimate, estimate, replicate_means
from entr.analysis.formatting import LOGARITHMIC, describe_smallest_p, format_effect
from entr.analysis.study import NOT_SUPPORTED, NOT_TESTED, SUPPORTED, Claim, Study

NEGLIGIBLE_LOG_RATIO = np.log(TARGET_RATIO)
"""Logarithm of the ratio within which two times, or two training losses, count as equal."""


@dataclass(frozen=True)
class Comparison:
    """One inequality that a claim requires."""

    label: str
    metric: str
    estimate: Estimate
    holds: bool
    """Whether the mean is on the side that the claim states."""
    p: float
    """The p-value of the opposite: a small one supports the claim."""

    def __str__(self) -> str:
        result = self.estimate
        return format_effect(self.metric, result.mean, result.corrected.low, result.corrected.high)


@dataclass(frozen=True)
class Finding:
    """What the comparisons of a claim show together."""

    verdict: str
    reason: str
    deciding: Comparison | None = None
    p: float = np.nan


def paired_differences(values: pd.DataFrame, regime: str, other: str) -> pd.DataFrame:
    """Return the differences between two regimes.

    Parameters
    ----------
    values : DataFrame
        As `Study.values` returns them.
    regime, other : str
        The second is subtracted from the first.

    Returns
    -------
    DataFrame
        Indexed by dataset and seed, one column per model, without empty rows and columns.
    """
    if not {regime, other} <= set(values.columns.get_level_values("regime")):
        return pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=["dataset", "seed"]))
    differences = values.xs(regime, level="regime", axis=1) - values.xs(other, level="regime", axis=1)
    available = differences.notna().to_numpy()
    return differences.loc[available.any(1), available.any(0)]


def estimate_pooled(
    differences: pd.DataFrame, study: Study, datasets: Collection[str] | None = None
) -> Estimate | None:
    """Estimate the mean over datasets, models and seeds, if each dataset has complete pairs.

    Parameters
    ----------
    differences : DataFrame
        Result of `paired_differences`.
    study : Study
        The study.
    datasets : collection of str, optional
        The datasets that have to have pairs; by default, all datasets of the study.
    """
    samples = replicate_means(differences)
    complete = samples.keys() == set(study.design.datasets if datasets is None else datasets)
    return estimate(list(samples.values()), study.overlap, flips=study.flips) if samples and complete else None


def where(study: Study) -> str:
    """Return that pairs are needed in every dataset, if there are several."""
    return " in every dataset" if len(study.design.datasets) > 1 else ""


def above_zero(label: str, metric: str, result: Estimate) -> Comparison:
    """Return the comparison that a mean is above zero."""
    holds = result.mean > 0
    return Comparison(label, metric, result, holds, result.p_decisive() if holds else 1.0)


def below_zero(label: str, metric: str, result: Estimate) -> Comparison:
    """Return the comparison that a mean is below zero."""
    holds = result.mean < 0
    return Comparison(label, metric, result, holds, result.p_decisive() if holds else 1.0)


def not_worse(label: str, metric: str, result: Estimate, margin: float) -> Comparison:
    """Return the comparison that a mean is above -margin: equivalent or better."""
    holds = result.mean > -margin
    # with the same difference in every replicate, the variance is zero and the test is undefined
    p = float(not holds) if result.constant else float(np.nan_to_num(result.p_above(-margin), nan=1))
    return Comparison(label, metric, result, holds, p)


def require_all_if_testable(comparisons: Sequence[Comparison]) -> Finding:
    """Evaluate a claim that requires every comparison."""
    if obstacle := why_untestable(comparisons):
        reason = f"{_count_agreeing(comparisons)}, but {obstacle}"
        return Finding(NOT_TESTED, reason, weakest_of(comparisons))
    return require_all(comparisons)


def require_all(comparisons: Sequence[Comparison], counted: Sequence[Comparison] = ()) -> Finding:
    """Evaluate a claim that requires every comparison, all of them with enough replicates.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Those that are required.
    counted : sequence of Comparison
        Those that the reason counts, if not all.
    """
    weakest, count = weakest_of(comparisons), _count_agreeing(counted or comparisons)
    if weakest.p <= ALPHA:
        return Finding(SUPPORTED, f"{count}, each statistically significant", weakest, weakest.p)
    how = "not significant" if weakest.holds else "in the opposite direction"
    return Finding(NOT_SUPPORTED, f"{count}; weakest: {weakest.label}, {weakest}, {how}", weakest, weakest.p)


def weakest_of(comparisons: Iterable[Comparison]) -> Comparison:
    """Return the comparison that decides a claim that requires them all."""
    return max(comparisons, key=lambda comparison: (comparison.p, not comparison.holds))


def why_untestable(comparisons: Collection[Comparison]) -> str:
    """Return why no comparison could be significant; an empty string if one could."""
    fewest = min((comparison.estimate for comparison in comparisons), key=lambda result: result.replicates)
    if fewest.replicates == 1:
        return "one replicate cannot distinguish an effect from noise"
    if any(np.isnan(comparison.estimate.p) for comparison in comparisons):
        return "a dataset has one replicate, which cannot distinguish an effect from noise"
    return "" if fewest.testable else describe_smallest_p(fewest)


def _count_agreeing(comparisons: Collection[Comparison]) -> str:
    agreeing = sum(comparison.holds for comparison in comparisons)
    return f"{agreeing} of {len(comparisons)} comparisons agree with the claim"


def make_claim(
    claim: str,
    statement: str,
    finding: Finding,
    *,
    datasets: Iterable[str],
    paper: str,
    result: str = "",
    regime: str = "",
    stand_in_for: Iterable[str] = (),
) -> Claim:
    """Return the row of the claims table for a finding.

    Parameters
    ----------
    claim : str
        ``ENTR``, or ``C1`` to ``C9``.
    statement : str
        What it claims.
    finding : Finding
        What its comparisons show.
    datasets, stand_in_for : iterable of str
        The datasets on which it is evaluated, and the paper's in whose place they are evaluated.
    paper, result : str
        The result of the paper, and of this study in the same terms.
    regime : str
        The treatment that a row of the hypothesis evaluates.
    """
    comparison, value, low, high, replicates = "", np.nan, np.nan, np.nan, np.nan
    if deciding := finding.deciding:
        estimate_, replicates = deciding.estimate, deciding.estimate.replicates
        is_ratio = deciding.metric in LOGARITHMIC
        comparison = f"{deciding.metric} {'ratio' if is_ratio else 'difference'}: {deciding.label}"
        scale = np.exp if is_ratio else float
        with np.errstate(over="ignore"):
            value, low, high = (
                float(scale(number)) for number in (estimate_.mean, estimate_.corrected.low, estimate_.corrected.high)
            )
    return Claim(
        claim=claim,
        regime=regime,
        evaluated_on=join_names(datasets),
        stand_in_for=join_names(stand_in_for),
        statement=statement,
        verdict=finding.verdict,
        result=result,
        paper=paper,
        comparison=comparison,
        value=value,
        low=low,
        high=high,
        p=finding.p,
        replicates=replicates,
        reason=finding.reason,
    )


def missing_names(required: Iterable[str], available: Iterable[str]) -> list[str]:
    """Return those names that are required and not available."""
    present = set(available)
    return [name for name in required if name not in present]


def join_names(names: Iterable[str]) -> str:
    """Return names as a list in a sentence."""
    return ", ".join(names)
