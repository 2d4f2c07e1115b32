import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from entr.metrics.scores import quality


def test_quality_of_a_case_worked_by_hand():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    found = quality(probabilities, np.array([0, 1, 1, 2]))
    assert (found.correct, found.count, found.accuracy) == (3, 4, 0.75)
    # F1: class 0 one hit of two predictions, class 1 one hit of two images, class 2 perfect
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.negative_log_likelihood == pytest.approx(-np.log([0.8, 0.3, 0.8, 0.6]).mean())
    # the bin around 0.6 holds one miss and one hit, the one around 0.8 two hits
    assert found.calibration_error == pytest.approx((abs(1.2 - 1) + abs(1.6 - 2)) / 4)


def test_a_class_that_no_image_has_counts_as_zero():
    found = quality(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 0]))
    assert (found.accuracy, found.macro_f1) == (1, 0.5)


def test_certain_and_wrong_predictions_have_a_finite_likelihood():
    found = quality(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), np.array([1, 0]))
    assert np.isfinite(found.negative_log_likelihood)
    assert found.calibration_error == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 7, 38])
def test_scores_equal_those_of_scikit_learn_in_every_digit(dtype, classes):
    generator = np.random.default_rng(classes)
    for count in (1, 9, 350):
        logits = generator.normal(0, 9, (count, classes))
        probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(dtype)
        truth, labels = generator.integers(0, classes, count), np.arange(classes)
        scores = quality(probabilities, truth)
        f1 = f1_score(truth, probabilities.argmax(1), labels=labels, average="macro", zero_division=0)
        assert scores.macro_f1 == f1
        assert scores.negative_log_likelihood == log_loss(truth, y_proba=probabilities, labels=labels)
