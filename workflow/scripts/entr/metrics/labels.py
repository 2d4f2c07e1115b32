"""Names of columns and values in the tables, and the words that readers see for them, stated once."""

from collections.abc import Iterable

CELL = ["dataset", "model", "regime", "seed"]
"""Columns that identify a cell."""

SUBTOTAL, TOTAL, FINAL = "sub-total", "total", "total-tta"
"""The stages at which a cell is evaluated; the paper's final results include test-time augmentation."""
STAGES = {
    SUBTOTAL: "before fine-tuning",
    TOTAL: "after fine-tuning",
    FINAL: "after fine-tuning, with test-time augmentation",
}

PHASE, FULL, OTHER = "phase", "full", "other"
"""The resolutions at which a stage is evaluated: the size of its phase, the full size, any other size."""
RESOLUTIONS = {
    PHASE: "the image size of each phase, as in the paper",
    FULL: "the full image size",
}
"""Those at which every stage is evaluated."""

TIME_BASES = {
    "training": "measured seconds of training steps and resizing",
    "forward": "seconds of the scheduled forward passes, computed from the inference benchmark",
    "latency": "seconds to classify one image with the trained model",
}
"""What *T* is, by time basis."""

SYMBOLS = {"accuracy": "A", "time": "T", "efficiency": "As"}
"""The paper's symbols of metrics."""

EFFECTS = {
    "log_efficiency_ratio": "ratio of As",
    "log_time_ratio": "ratio of T",
    "accuracy_difference": "difference in A, percentage points",
}
"""Labels of the effects of a regime relative to the control; ratios are shown, logarithms are stored."""

ALL = "all"
"""In the place of a dataset or model: the mean over all of them."""

WEIGHTS = {
    "imagenet": "ImageNet weights",
    "none": "randomly initialised weights, all layers trained",
}


def describe_weights(label: str) -> str:
    """Return a cell's initial weights in words.

    Parameters
    ----------
    label : str
        The column ``weights``: ``imagenet``, ``none`` or the name of a file.
    """
    return WEIGHTS.get(label, f"weights from {label}")


def describe_networks(weights: Iterable[str], scales: Iterable[float]) -> str:
    """Return the initial weights of cells and the scale of their image sizes in words.

    Parameters
    ----------
    weights, scales : iterable
        The columns ``weights`` and ``scale`` of the table of cells. A scale of 1 is not mentioned.
    """
    text = " and ".join(describe_weights(label) for label in sorted(set(weights)))
    scaled = " and ".join(f"{scale:g}" for scale in sorted(set(scales)))
    return text if scaled in {"", "1"} else f"{text}, image sizes scaled by {scaled}"


def describe_share(share: float) -> str:
    """Return a share in percent; one that only rounds to 0 or 100 % is not shown as such."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{100 * share:.0f} %"
