"""Scores of predictions: accuracy, macro-F1, negative log likelihood, calibration error."""

import numpy as np
from numpy.typing import NDArray

from entr.metrics.cell_metrics import Quality

CALIBRATION_BINS = 15


def quality(probabilities: NDArray[np.floating], classes: NDArray[np.integer]) -> Quality:
    """Score predictions against the true classes.

    The scores are identical to scikit-learn's, which takes a second to import.

    Parameters
    ----------
    probabilities : array of float, shape (n, classes)
        Each row sums to 1.
    classes : array of int, shape (n,)
        The true class numbers.
    """
    predicted = probabilities.argmax(1)
    correct = predicted == classes
    return Quality(
        correct=int(correct.sum()),
        count=len(correct),
        accuracy=float(correct.mean()),
        macro_f1=_macro_f1(predicted, classes, probabilities.shape[1]),
        negative_log_likelihood=_negative_log_likelihood(probabilities[np.arange(len(classes)), classes]),
        calibration_error=_calibration_error(probabilities.max(1), correct),
    )


def _macro_f1(predicted: NDArray[np.integer], classes: NDArray[np.integer], n_classes: int) -> float:
    """Return the mean F1 score of all classes; that of a class without images and predictions is 0."""
    hits = np.bincount(classes[predicted == classes], minlength=n_classes)
    totals = np.bincount(classes, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    return float((2 * hits / np.maximum(totals, 1)).mean())


def _negative_log_likelihood(probabilities: NDArray[np.floating]) -> float:
    """Return the mean over the true classes' probabilities, each clipped so that its logarithm is finite."""
    epsilon = np.finfo(probabilities.dtype).eps
    return float((-np.log(np.clip(probabilities, epsilon, 1 - epsilon))).mean())


def _calibration_error(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(correct))
