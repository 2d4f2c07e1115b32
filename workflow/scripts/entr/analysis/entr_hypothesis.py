"""The ENTR hypothesis: faster, equally accurate, and better than shorter training or smaller images."""

from collections.abc import Iterable

import numpy as np

from entr.analysis.comparisons import (
    NEGLIGIBLE_LOG_RATIO,
    Comparison,
    Finding,
    above_zero,
    below_zero,
    estimate_pooled,
    join_names,
    make_claim,
    not_worse,
    paired_differences,
    weakest_of,
    where,
    why_untestable,
)
from entr.analysis.estimation import ALPHA, TARGET_RATIO, Estimate, holm
from entr.analysis.formatting import format_effect
from entr.analysis.study import NOT_SUPPORTED, NOT_TESTED, SUPPORTED, Claim, Study
from entr.metrics.labels import FINAL, SYMBOLS
from entr.metrics.published_results import TREATMENTS

HYPOTHESIS = "ENTR"
MATCHED = "matched"
SMALLER = ("small", "medium")
RIVALS = (MATCHED, *SMALLER)
"""Regimes that could match a treatment without increasing image sizes: as little training time at the full
size, or small images throughout."""
PAPER_RESULT = "As exceeds the control's in all nine cells; neither A nor rivals were tested"


def evaluate_hypothesis(study: Study) -> list[Claim]:
    """Evaluate ENTR for each treatment: T falls, A is not worse, and no rival has the same A at the same T.

    Any treatment would suffice, so the p-value of each, the largest of its requirements, is adjusted by
    Holm. Each rival has to be less accurate, or to cost more by a ratio above 1.05.
    """
    findings = {
        treatment: _evaluate_treatment(treatment, study)
        for treatment in TREATMENTS
        if treatment in study.design.regimes
    }
    if not findings:
        finding = Finding(NOT_TESTED, f"neither {' nor '.join(TREATMENTS)} is in the grid")
        statement = "the ENTR hypothesis"
        return [make_claim(HYPOTHESIS, statement, finding, datasets=study.design.datasets, paper=PAPER_RESULT)]
    p = {treatment: finding.p for treatment, finding in findings.items() if not np.isnan(finding.p)}
    adjusted = dict(zip(p, holm(list(p.values())), strict=True)) if p else {}
    return [
        make_claim(
            HYPOTHESIS,
            f"{treatment}: T falls, A is equivalent or better, and no rival has the same A at the same T",
            _adjust(finding, float(adjusted.get(treatment, np.nan))),
            datasets=study.design.datasets,
            paper=PAPER_RESULT,
            result=_describe_effects(treatment, study),
            regime=treatment,
        )
        for treatment, finding in findings.items()
    ]


def hypothesis_verdict(claims: Iterable[Claim]) -> str:
    """Return the verdict on the hypothesis, which any treatment would support."""
    verdicts = {claim.verdict for claim in claims if claim.claim == HYPOTHESIS}
    return next(verdict for verdict in (SUPPORTED, NOT_TESTED, NOT_SUPPORTED) if verdict in verdicts)


def _adjust(finding: Finding, p: float) -> Finding:
    """Return a finding with its p-value adjusted for several treatments."""
    if finding.verdict == SUPPORTED and p > ALPHA:
        reason = f"{finding.reason}, but not when adjusted for several treatments (p = {p:.2g})"
        return Finding(NOT_SUPPORTED, reason, finding.deciding, p)
    return Finding(finding.verdict, finding.reason, finding.deciding, p)


def _effect_on(metric: str, regime: str, other: str, study: Study, offset: float = 0.0) -> Estimate | None:
    """Estimate the difference between two regimes in a metric after the last stage, less an offset."""
    return estimate_pooled(paired_differences(study.values(metric, FINAL), regime, other) - offset, study)


def _evaluate_treatment(treatment: str, study: Study) -> Finding:
    control = study.design.control
    time, accuracy = (_effect_on(metric, treatment, control, study) for metric in ("time", "accuracy"))
    if time is None or accuracy is None:
        return Finding(NOT_TESTED, f"no pairs of {treatment} and {control}{where(study)}")
    faster = below_zero("T falls", "time", time)
    as_accurate = not_worse(f"A is equivalent or better (margin {study.margin:g})", "accuracy", accuracy, study.margin)
    beaten = {rival: _compare_with_rival(rival, treatment, study) for rival in RIVALS}
    rivals = {rival: comparison for rival, comparison in beaten.items() if comparison}
    unfinished = [rival for rival in RIVALS if rival in study.design.regimes and rival not in rivals]
    if unfinished:
        return Finding(NOT_TESTED, f"no pairs of {treatment} and {join_names(unfinished)}{where(study)}", faster)
    required = [faster, as_accurate, *rivals.values()]
    if obstacle := why_untestable(required):
        return Finding(NOT_TESTED, obstacle, faster)
    weakest = weakest_of(required)
    not_shown = [
        f"A fell: {comparison}"
        if comparison is as_accurate and accuracy.corrected.high < 0
        else f"not shown that {comparison.label}: {comparison}"
        for comparison in required
        if comparison.p > ALPHA
    ]
    if not_shown:
        return Finding(NOT_SUPPORTED, "; ".join(not_shown), weakest, weakest.p)
    missing = [] if MATCHED in rivals else [MATCHED]
    if not rivals.keys() & set(SMALLER):
        missing.append(" or ".join(SMALLER))
    if missing:
        shown = join_names(comparison.label for comparison in required)
        reason = f"{shown}: shown; but the grid lacks the rivals {join_names(missing)}"
        return Finding(NOT_TESTED, reason, weakest)
    shown = "; ".join(f"{comparison.label}, {comparison}" for comparison in required)
    return Finding(SUPPORTED, f"shown: {shown}", weakest, weakest.p)


def _compare_with_rival(rival: str, treatment: str, study: Study) -> Comparison | None:
    """Return the comparison that a rival is less accurate, or costs more, than a treatment."""
    accuracy = _effect_on("accuracy", treatment, rival, study)
    time = _effect_on("time", rival, treatment, study, NEGLIGIBLE_LOG_RATIO)
    if accuracy is None or time is None:
        return None
    label = f"A is above that of {rival}, or {rival} costs over {100 * (TARGET_RATIO - 1):.0f} % more"
    # two-sided p-values of one-sided questions, which pays for asking two of them
    alternatives = [above_zero(label, "accuracy", accuracy), above_zero(label, "time", time)]
    best = min(alternatives, key=lambda comparison: comparison.p)
    # reported in terms of A, because both alternatives depend on it
    return Comparison(label, "accuracy", accuracy, best.holds, best.p)


def _describe_effects(treatment: str, study: Study) -> str:
    """Return the effects of a treatment on A, T and As relative to the control."""
    parts = []
    for metric, symbol in SYMBOLS.items():
        effect = _effect_on(metric, treatment, study.design.control, study)
        if effect:
            text = format_effect(metric, effect.mean, effect.corrected.low, effect.corrected.high)
            parts.append(f"{symbol} {text}")
    return join_names(parts)
