"""Scores of predictions: accuracy, macro-F1, negative log likelihood, calibration error."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, log_loss

from entr.metrics.schema import Quality

CALIBRATION_BINS = 15


def quality(probabilities: NDArray[np.floating], classes: NDArray[np.integer]) -> Quality:
    """Score predictions against the true classes.

    Parameters
    ----------
    probabilities : array of float, shape (n, classes)
        Each row sums to 1.
    classes : array of int, shape (n,)
        The true class numbers.
    """
    predicted = probabilities.argmax(1)
    correct = predicted == classes
    labels = np.arange(probabilities.shape[1])
    return Quality(
        correct=int(correct.sum()),
        count=len(correct),
        accuracy=float(correct.mean()),
        macro_f1=float(f1_score(classes, predicted, labels=labels, average="macro", zero_division=0)),
        negative_log_likelihood=float(log_loss(classes, probabilities, labels=labels)),
        calibration_error=_calibration_error(probabilities.max(1), correct),
    )


def _calibration_error(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(correct))
