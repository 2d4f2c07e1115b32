"""The answer to the question of the study, in three parts: faster, as accurate, better than training less.

Each part is answered for two targets that readers confuse: further seeds on the images of the study, and
further images of the same kind. Whether *As* is higher, the efficiency of Wanger & Frohn, is answered apart
from the three parts, because a shorter *T* can make up for a loss of accuracy there.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from entr.analysis.answer_parts import (
    AS_ACCURATE,
    BETTER,
    FASTER,
    METRICS,
    MORE_EFFICIENT,
    NO,
    NOT_TESTED,
    UNDECIDED,
    YES,
    Answer,
    Part,
)
from entr.analysis.answer_wording import (
    describe_change,
    describe_headline,
    describe_part,
    describe_rival_part,
)
from entr.analysis.comparisons import NEGLIGIBLE_LOG_RATIO, estimate_pooled, paired_differences
from entr.analysis.entr_hypothesis import MATCHED, RIVALS, SMALLER
from entr.analysis.estimation import ALPHA, NEW_IMAGES, REPLICATES_FOR_TEST, TARGETS, Estimate
from entr.analysis.formatting import LOGARITHMIC
from entr.analysis.study import Study
from entr.jobs.durations import format_duration
from entr.metrics.labels import FINAL
from entr.metrics.published_results import TREATMENTS

MOST_SEEDS = 100
"""More seeds per dataset are never proposed."""
UNFINISHED = "the unfinished cells of the grid"
"""What an undecided part lacks if fewer seeds are trained than configured."""


def find_answer(study: Study, cells: pd.DataFrame) -> Answer:
    """Answer the question of a study.

    The headline is about the first treatment in the grid, in the order of the paper, whatever the results:
    selecting the better one would make false support more frequent.

    Parameters
    ----------
    study : Study
        The study.
    cells : DataFrame
        The table of cells of `aggregation.write_metrics`, for the hours that further seeds take.
    """
    treatments = [regime for regime in TREATMENTS if regime in study.design.regimes]
    parts = [part for regime in treatments for part in _parts_of(regime, study, cells, leading=regime == treatments[0])]
    if not treatments:
        return Answer(f"Not tested: the grid contains neither {' nor '.join(TREATMENTS)}.", ())
    return Answer(describe_headline(treatments[0], parts, study.margin), tuple(parts))


def _parts_of(regime: str, study: Study, cells: pd.DataFrame, *, leading: bool) -> Iterator[Part]:
    """Yield the comparisons with the control, then those with the rivals, each for both targets."""
    control = study.design.control
    decisions: dict[str, Callable[[Estimate, str], tuple[str, float]]] = {
        FASTER: _decide_faster,
        AS_ACCURATE: partial(_decide_as_accurate, margin=study.margin),
        MORE_EFFICIENT: _decide_more_efficient,
    }
    for part, decide in decisions.items():
        metric = METRICS[part]
        make = partial(Part, part, regime, control, metric=metric, leading=leading)
        result = _pooled(metric, regime, control, study)
        if result is None:
            yield from (make(target, NOT_TESTED, lacking=_pairs(regime, control, study)) for target in TARGETS)
            continue
        for target in TARGETS:
            verdict, p = decide(result, target)
            values = _values(metric, result, target)
            equal = metric == "time" and result.p_within(NEGLIGIBLE_LOG_RATIO, target) <= ALPHA
            yield make(
                target,
                verdict,
                p=p,
                **values,
                replicates=result.replicates,
                sentence=describe_part(part, verdict, regime, control, describe_change(metric, **values), equal=equal),
                **_lack(verdict, _seeds_to_decide(part, result, target, study), study, cells),
            )
    yield from _rival_parts(regime, study, cells, leading=leading)


def _rival_parts(regime: str, study: Study, cells: pd.DataFrame, *, leading: bool) -> Iterator[Part]:
    """Yield the comparisons with shorter training and with smaller images; missing ones are not tested."""
    available = [rival for rival in RIVALS if rival in study.design.regimes]
    for rival in available:
        make = partial(Part, BETTER, regime, rival, metric="accuracy", leading=leading)
        accuracy = _pooled("accuracy", regime, rival, study)
        time = _pooled("time", rival, regime, study)
        if accuracy is None or time is None:
            yield from (make(target, NOT_TESTED, lacking=_pairs(regime, rival, study)) for target in TARGETS)
            continue
        for target in TARGETS:
            verdict, p = _decide_better(accuracy, time, target, study.margin)
            values = _values("accuracy", accuracy, target)
            changes = describe_change("accuracy", **values), describe_change("time", **_inverted(time, target))
            yield make(
                target,
                verdict,
                p=p,
                **values,
                time_change=changes[1],
                replicates=accuracy.replicates,
                sentence=describe_rival_part(verdict, regime, rival, *changes),
                **_lack(verdict, _seeds_to_outdo(accuracy, time, target, study), study, cells),
            )
    missing = [] if MATCHED in available else [MATCHED]
    if not set(SMALLER) & set(available):
        missing.append(" or ".join(SMALLER))
    for name, target in product(missing, TARGETS):
        yield Part(BETTER, regime, name, target, NOT_TESTED, lacking=f"{name} in grid.regimes", leading=leading)


def _pooled(metric: str, regime: str, other: str, study: Study) -> Estimate | None:
    return estimate_pooled(paired_differences(study.values(metric, FINAL), regime, other), study)


def _pairs(regime: str, other: str, study: Study) -> str:
    """Name the pairs without which two regimes cannot be compared."""
    found = paired_differences(study.values("accuracy", FINAL), regime, other).index.get_level_values("dataset")
    missing = [name for name in study.design.datasets if name not in found]
    return f"pairs with {other} on {', '.join(missing)}" if len(found) and missing else f"pairs with {other}"


def _values(metric: str, result: Estimate, target: str) -> dict[str, Any]:
    """Return the mean and the limits of an estimate: as ratios if it is one of logarithms."""
    test = result.test(target)
    scale = np.exp if metric in LOGARITHMIC else float
    with np.errstate(over="ignore"):
        return {
            name: float(scale(number))
            for name, number in (("value", result.mean), ("low", test.low), ("high", test.high))
        }


def _inverted(time: Estimate, target: str) -> dict[str, Any]:
    """Return the ratio of times of the treatment to the rival, from the estimate of its inverse."""
    values = _values("time", time, target)
    return {"value": 1 / values["value"], "low": 1 / values["high"], "high": 1 / values["low"]}


def _decide_faster(result: Estimate, target: str) -> tuple[str, float]:
    """Return the verdict that *T* falls: not if it is shown to rise, or to differ by at most 5 %."""
    if not result.testable:
        return UNDECIDED, np.nan
    p = result.p_decisive(target)
    if p <= ALPHA:
        return (YES if result.mean < 0 else NO), p
    equal = result.p_within(NEGLIGIBLE_LOG_RATIO, target)
    return (NO, equal) if equal <= ALPHA else (UNDECIDED, p)


def _decide_as_accurate(result: Estimate, target: str, *, margin: float) -> tuple[str, float]:
    """Return the verdict that *A* is not worse by the margin; *no* requires that it is shown to be lower."""
    if not result.testable:
        return UNDECIDED, np.nan
    # equal in every replicate, so that the variance is zero and nothing can be tested
    not_worse = result.p_above(-margin, target) if not result.constant else float(result.mean <= -margin)
    if not_worse <= ALPHA:
        return YES, not_worse
    lower = result.p_decisive(target)
    return (NO, lower) if lower <= ALPHA and result.mean < 0 else (UNDECIDED, not_worse)


def _decide_more_efficient(result: Estimate, target: str) -> tuple[str, float]:
    if not result.testable:
        return UNDECIDED, np.nan
    p = result.p_decisive(target)
    if p > ALPHA:
        return UNDECIDED, p
    return (YES if result.mean > 0 else NO), p


def _decide_better(accuracy: Estimate, time: Estimate, target: str, margin: float) -> tuple[str, float]:
    """Return the verdict that a rival is less accurate, or costs over 5 % more.

    Parameters
    ----------
    accuracy : Estimate
        Difference of the treatment to the rival.
    time : Estimate
        Logarithm of the ratio of the rival to the treatment.
    target : str
        One of `TARGETS`.
    margin : float
        Equivalence margin of accuracies, a fraction.

    Returns
    -------
    tuple of str and float
        *no* requires that the treatment is not more accurate by the margin and that the rival costs at
        most 5 % more. Two-sided p-values of one-sided questions pay for asking two of them.
    """
    if not (accuracy.testable and time.testable):
        return UNDECIDED, np.nan
    more_accurate = accuracy.p_decisive(target) if accuracy.mean > 0 else 1.0
    dearer = time.p_above(NEGLIGIBLE_LOG_RATIO, target)
    dearer = float(time.mean <= NEGLIGIBLE_LOG_RATIO) if time.constant else min(1.0, 2 * dearer)
    best = min(more_accurate, dearer)
    if best <= ALPHA:
        return YES, best
    no_gain = accuracy.p_below(margin, target) if not accuracy.constant else float(accuracy.mean >= margin)
    as_cheap = (
        time.p_below(NEGLIGIBLE_LOG_RATIO, target) if not time.constant else float(time.mean >= NEGLIGIBLE_LOG_RATIO)
    )
    worst = max(no_gain, as_cheap)
    return (NO, worst) if worst <= ALPHA else (UNDECIDED, best)


def _seeds_to_decide(part: str, result: Estimate, target: str, study: Study) -> float:
    """Return the seeds per dataset with which the interval would exclude the nearest bound, if nothing else changes.

    Infinite if not even `MOST_SEEDS` would do; NaN if all seeds give the same result.
    """
    if result.testable and result.constant:
        return np.nan
    distances = {
        FASTER: [(abs(result.mean), 2), (NEGLIGIBLE_LOG_RATIO - abs(result.mean), 1)],
        MORE_EFFICIENT: [(abs(result.mean), 2)],
        AS_ACCURATE: [(result.mean + study.margin, 1), (-result.mean, 2)],
    }[part]
    return min(_seeds_for(distance, sides, result, target, study) for distance, sides in distances)


def _seeds_to_outdo(accuracy: Estimate, time: Estimate, target: str, study: Study) -> float:
    """Return the seeds per dataset that decide whether a treatment is better than a rival, as `_seeds_to_decide`.

    *Yes* requires that the rival is less accurate or costs more; *no* requires that it is neither.
    """
    more_accurate = _seeds_for(accuracy.mean, 2, accuracy, target, study)
    dearer = _seeds_for(time.mean - NEGLIGIBLE_LOG_RATIO, 2, time, target, study)
    neither = (
        _seeds_for(study.margin - accuracy.mean, 1, accuracy, target, study),
        _seeds_for(NEGLIGIBLE_LOG_RATIO - time.mean, 1, time, target, study),
    )
    return min(more_accurate, dearer, max(neither))


def _seeds_for(distance: float, sides: int, result: Estimate, target: str, study: Study) -> float:
    """Return the seeds per dataset with which a test shows a distance from a bound.

    Parameters
    ----------
    distance : float
        Distance of the mean from the bound; unless it is positive, no number of seeds suffices.
    sides : {1, 2}
        Whether the test is one-sided or two-sided.
    result : Estimate
        The estimate, whose spread is assumed to stay the same.
    target : str
        One of `TARGETS`.
    study : Study
        The study.
    """
    datasets = len(study.design.datasets)
    fewest = max(2, int(np.ceil(REPLICATES_FOR_TEST / datasets)))
    if not result.sd > 0:
        if not result.testable:
            return float(max(fewest, result.seeds + 1))
        return 0.0 if distance > 0 else np.inf
    overlap = study.overlap if target == NEW_IMAGES else 0.0
    counts = np.arange(fewest, MOST_SEEDS + 1)
    error = result.sd * np.sqrt((1 / counts + overlap) / datasets)
    critical = stats.t.ppf(1 - ALPHA / sides, datasets * (counts - 1))
    enough = counts[critical * error < distance]
    # with as many seeds as there are, chance alone can leave a part undecided
    return max(float(enough[0]), result.seeds + 1.0) if enough.size else np.inf


def _lack(verdict: str, seeds: float, study: Study, cells: pd.DataFrame) -> dict[str, Any]:
    """Return what an undecided part needs: seeds with their hours, or images that no seed replaces."""
    if verdict != UNDECIDED:
        return {}
    if np.isnan(seeds):
        return {"lacking": "more images or datasets; every seed gives the same result"}
    if np.isinf(seeds):
        return {"lacking": f"more images or datasets; {MOST_SEEDS} seeds would not decide it", "seeds_needed": seeds}
    configured = len(study.design.seeds)
    if seeds <= configured:
        return {"lacking": UNFINISHED, "seeds_needed": seeds}
    trained = cells.groupby(["dataset", "model", "regime"])["seconds_wall"].agg(["mean", "count"])
    seconds = (trained["mean"] * (seeds - trained["count"])).sum()
    more = int(seeds) - configured
    text = f"about {more} more {'seed' if more == 1 else 'seeds'} ({format_duration(seconds)} on this machine)"
    return {"lacking": text, "seeds_needed": seeds}
