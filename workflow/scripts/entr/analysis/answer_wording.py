"""The answer in words: one sentence per part, and a headline."""

from collections.abc import Sequence

import numpy as np

from entr.analysis.answer_parts import (
    AS_ACCURATE,
    BETTER,
    FASTER,
    MORE_EFFICIENT,
    NO,
    NOT_TESTED,
    UNDECIDED,
    YES,
    Part,
    combined_verdict,
)
from entr.analysis.entr_hypothesis import MATCHED
from entr.analysis.estimation import REPLICATES_FOR_TEST, THESE_IMAGES

NOT_CONFIRMED = "not significant in the permutation test"
"""Why a difference is undecided whose interval excludes no change: both tests have to agree."""
LARGEST_PERCENTAGE = 1000
"""A larger increase is not printed as a number: with two or three seeds, an interval may have any width."""


def percentage_saved(ratio: float) -> str:
    """Return a ratio of times as a percentage of the comparator that is saved or added, without sign."""
    return f"{100 * abs(1 - ratio):.1f} %"


def describe_part(part: str, verdict: str, regime: str, control: str, change: str, *, equal: bool) -> str:
    """Return the comparison with the control as one sentence.

    Parameters
    ----------
    part, verdict : str
        The part, and its verdict.
    regime, control : str
        The treatment and the control.
    change : str
        Result of `describe_change`.
    equal : bool
        Whether a difference is shown to be negligible.
    """
    if verdict == UNDECIDED:
        subject = {
            FASTER: f"whether {regime} is faster than {control}",
            AS_ACCURATE: f"whether {regime} is as accurate as {control}",
            MORE_EFFICIENT: f"whether As of {regime} is higher than that of {control}",
        }[part]
        return f"It is undecided {subject}: {change}."
    subject = {
        (FASTER, YES): f"{regime} is faster than {control}",
        (FASTER, NO): f"{regime} takes as long as {control}" if equal else f"{regime} is slower than {control}",
        (AS_ACCURATE, YES): f"{regime} is as accurate as {control}",
        (AS_ACCURATE, NO): f"{regime} is less accurate than {control}",
        (MORE_EFFICIENT, YES): f"As of {regime} is higher than that of {control}",
        (MORE_EFFICIENT, NO): f"As of {regime} is lower than that of {control}",
    }[part, verdict]
    return f"{subject}: {change}."


def describe_rival_part(verdict: str, regime: str, rival: str, accuracy: str, time: str) -> str:
    """Return the comparison with a rival as one sentence.

    Parameters
    ----------
    verdict : str
        The verdict.
    regime, rival : str
        The treatment and its rival.
    accuracy, time : str
        Results of `describe_change`, treatment relative to rival.
    """
    subject = {
        YES: f"{regime} is better than {rival}",
        NO: f"{regime} is not better than {rival}",
        UNDECIDED: f"It is undecided whether {regime} is better than {rival}",
    }[verdict]
    return f"{subject}: {accuracy}, {time}."


def describe_change(metric: str, value: float, low: float, high: float) -> str:
    """Return a change in words, with its 95 % interval if there is one.

    Parameters
    ----------
    metric : str
        ``time``, ``accuracy`` or ``efficiency``.
    value, low, high : float
        A difference of accuracies, or a ratio.
    """
    if metric == "accuracy":
        # adding zero makes a negative zero positive
        shown = [f"{round(100 * points, 1) + 0:+.1f}" for points in (value, max(low, -1), min(high, 1))]
        text, *bounds = (f"{shown[0]} points", *shown[1:])
    else:
        text, *bounds = (_format_change(ratio) for ratio in (value, low, high))
        text = f"{text} % {'time' if metric == 'time' else 'As'}"
    return text if np.isnan(low) else f"{text} [{bounds[0]} to {bounds[1]}]"


def describe_evidence(part: Part) -> str:
    """Return the change of a part with its interval, and why it is undecided if the interval excludes no change."""
    change = describe_change(part.metric, part.value, part.low, part.high)
    unchanged = 0 if part.metric == "accuracy" else 1
    excludes_no_change = part.low > unchanged or part.high < unchanged
    unexplained = part.verdict == UNDECIDED and part.part != BETTER and excludes_no_change
    return f"{change}, {NOT_CONFIRMED}" if unexplained else change


def _format_change(ratio: float) -> str:
    percentage = 100 * (ratio - 1)
    return f"{round(percentage, 1) + 0:+.1f}" if percentage < LARGEST_PERCENTAGE else f"over +{LARGEST_PERCENTAGE}"


def describe_headline(regime: str, parts: Sequence[Part], margin: float) -> str:
    """Return the finding about a treatment on the images of the study, made from its three parts.

    Parameters
    ----------
    regime : str
        The treatment.
    parts : sequence of Part
        The parts of the answer.
    margin : float
        Equivalence margin of accuracies, a fraction.
    """
    own = [part for part in parts if part.regime == regime and part.target == THESE_IMAGES]
    faster, accurate = (next(part for part in own if part.part == name) for name in (FASTER, AS_ACCURATE))
    subject = f"Starting on small images ({regime})"
    if faster.verdict == NOT_TESTED:
        return f"Not tested: {faster.lacking} are missing."
    if faster.verdict == UNDECIDED:
        why = _why_undecided(faster)
        return f"Undecided: whether starting on small images ({regime}) saves training time ({why})."
    if faster.verdict == NO:
        change = f"took {percentage_saved(faster.value)} {'more' if faster.value > 1 else 'less'} training time"
        return f"{subject} {change}: no relevant saving here."
    saved = f"{subject} saved {percentage_saved(faster.value)} of the training time"
    points = f"{100 * abs(accurate.value):.1f} points of accuracy"
    if accurate.verdict == NO:
        return f"{saved} but cost {points}."
    if accurate.verdict in {UNDECIDED, NOT_TESTED}:
        return f"{saved}; whether it costs accuracy is undecided ({describe_evidence(accurate)})."
    tolerated = f"{100 * margin:g} {'point' if 100 * margin == 1 else 'points'}"
    kept = f"kept the accuracy to within {tolerated}"
    if accurate.low > 0:
        kept = f"gained {points}"
    elif accurate.high < 0:
        kept = f"cost {points}, less than the margin of {tolerated}"
    joined = "but" if accurate.high < 0 else "and"
    return f"{saved} {joined} {kept}{_compare_rivals([part for part in own if part.part == BETTER])}"


def _why_undecided(part: Part) -> str:
    """Return why it is undecided whether a metric changes."""
    if part.replicates < REPLICATES_FOR_TEST:
        return f"{'1 replicate is' if part.replicates == 1 else f'{part.replicates} replicates are'} too few"
    if np.isnan(part.p):
        return "one dataset has only one replicate"
    if part.low > 1 or part.high < 1:
        return NOT_CONFIRMED
    return "the interval includes no change"


def _compare_rivals(rivals: Sequence[Part]) -> str:
    """Return the end of a headline: whether training less, or smaller, does the same."""
    verdict = combined_verdict(rivals)
    names = {name: [part.comparator for part in rivals if part.verdict == name] for name in (NO, UNDECIDED, NOT_TESTED)}
    if verdict == YES:
        return ", and neither shorter training nor smaller images did as well: worth it here."
    if verdict == NO:
        return f", but {' and '.join(names[NO])} did as well: no need for increasing sizes here."
    if verdict == UNDECIDED:
        return f"; whether {' or '.join(names[UNDECIDED])} does as well is undecided."
    untested = ["shorter training" if name == MATCHED else "training on smaller images" for name in names[NOT_TESTED]]
    return f"; whether {' or '.join(untested)} does as well was not tested."
