"""Numbers as text: differences, ratios, percentage points and intervals."""

import numpy as np

from entr.analysis.estimation import ALPHA, Estimate

LOGARITHMIC = ("time", "efficiency", "training_negative_log_likelihood")
"""Metrics that are compared by the logarithm of their ratio."""
LARGEST_LOGARITHM = 20
"""Logarithm of a ratio beyond which the ratio is not printed."""


def format_difference(metric: str, value: float) -> str:
    """Return a difference of a metric as text: a logarithm as a ratio, a fraction in percentage points."""
    if np.isnan(value):
        return "not available"
    if metric in LOGARITHMIC:
        return f"×{format_number(np.exp(value))}" if abs(value) < LARGEST_LOGARITHM else "out of range"
    # adding zero makes a negative zero positive
    if metric in {"accuracy", "accuracy_gap"}:
        return f"{round(100 * value, 1) + 0:+.1f} points"
    return f"{round(value, 3) + 0:+.3f} nats"


def format_number(value: float) -> str:
    """Return a number with three significant digits as text."""
    return f"{value:#.3g}".removesuffix(".")


def format_percentage(fraction: float) -> str:
    """Return a fraction as a percentage with one decimal."""
    return f"{100 * fraction:.1f} %"


def format_interval(metric: str, low: float, high: float) -> str:
    """Return an interval of differences in brackets after a space, or an empty string if there is none."""
    if metric == "accuracy":
        low, high = np.maximum(low, -1), np.minimum(high, 1)
    if np.isnan(low):
        return ""
    # an interval repeats neither the multiplication sign nor the unit of its mean
    bounds = [format_difference(metric, bound).removeprefix("×") for bound in (low, high)]
    return f" [{', '.join(bound.removesuffix(' points').removesuffix(' nats') for bound in bounds)}]"


def format_effect(metric: str, mean: float, low: float, high: float) -> str:
    """Return a mean difference with its interval, if there is one."""
    return f"{format_difference(metric, mean)}{format_interval(metric, low, high)}"


def describe_smallest_p(estimate: Estimate) -> str:
    """Return why an estimate cannot be significant: the smallest p-value that its replicates allow."""
    return f"{estimate.replicates} replicates cannot reach p < {ALPHA} (smallest possible: {estimate.smallest_p:.2g})"
