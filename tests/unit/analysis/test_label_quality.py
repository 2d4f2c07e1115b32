"""Real images: the 1797 handwritten digits of scikit-learn, with known wrong labels and a real classifier."""

import numpy as np
import pandas as pd
import pytest
from cleanlab.filter import find_label_issues
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from entr.analysis.label_quality import check_labels, class_probabilities


def predict(digits=range(10), wrong=0):
    """Return the classes, wrongly labelled images, labels and out-of-sample probabilities of digits."""
    images, truth = load_digits(return_X_y=True)
    is_chosen = np.isin(truth, digits)
    images, truth = images[is_chosen], np.searchsorted(digits, truth[is_chosen])
    rng = np.random.default_rng(0)
    flipped = rng.choice(len(truth), wrong, replace=False)
    labels = truth.copy()
    labels[flipped] = (labels[flipped] + rng.integers(1, len(digits), wrong)) % len(digits)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = LinearDiscriminantAnalysis()
    probabilities = cross_val_predict(model, images, labels, cv=folds, method="predict_proba")
    return [f"digit {digit}" for digit in digits], flipped, labels, probabilities


def stored(classes, labels, probabilities):
    """Return predictions as a cell stores them."""
    names, rows, predicted = np.array(classes), np.arange(len(labels)), probabilities.argmax(1)
    return pd.DataFrame(
        {
            "image": [f"{row:04}.png" for row in rows],
            "label": names[labels],
            "predicted": names[predicted],
            "probability_of_label": probabilities[rows, labels],
            "probability_of_predicted": probabilities[rows, predicted],
        }
    )


def rows_of(images):
    return {int(name.removesuffix(".png")) for name in images}


@pytest.mark.parametrize("digits", [range(10), [3, 8]], ids=["ten classes", "two classes"])
def test_wrong_labels_rank_first_and_are_found(digits):
    classes, flipped, labels, probabilities = predict(digits, wrong=20)
    checked = check_labels(stored(classes, labels, probabilities), classes)
    assert len(rows_of(checked["image"].head(30)) & {*flipped}) >= 18
    issues = checked[checked["label_issue"]]
    assert len(rows_of(issues["image"]) & {*flipped}) >= 16
    assert (issues["label"] != issues["predicted"]).all()
    assert len(issues) < 0.08 * len(labels)


@pytest.mark.parametrize("wrong", [0, 100, 600])
def test_two_stored_probabilities_lead_to_the_same_issues_as_those_of_all_classes(wrong):
    classes, _, labels, probabilities = predict(wrong=wrong)
    checked = check_labels(stored(classes, labels, probabilities), classes)
    expected = np.flatnonzero(find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1))
    assert rows_of(checked.loc[checked["label_issue"], "image"]) == {*expected}


def test_probabilities_of_two_classes_are_exact():
    classes, _, labels, probabilities = predict([3, 8])
    np.testing.assert_allclose(
        class_probabilities(stored(classes, labels, probabilities), classes), probabilities, atol=1e-12
    )


def test_probabilities_of_many_classes_keep_what_is_stored_and_sum_to_one():
    classes, _, labels, probabilities = predict(wrong=100)
    predictions = stored(classes, labels, probabilities)
    found, rows = class_probabilities(predictions, classes), np.arange(len(labels))
    np.testing.assert_array_equal(found[rows, labels], predictions["probability_of_label"])
    np.testing.assert_array_equal(found.max(1), predictions["probability_of_predicted"])
    np.testing.assert_allclose(found.sum(1), 1)


def test_probabilities_are_means_over_the_seeds_that_validated_an_image():
    columns = ["image", "label", "predicted", "probability_of_label", "probability_of_predicted"]
    rows = [
        ("1.png", "a", "a", 0.9, 0.9),
        ("1.png", "a", "b", 0.3, 0.6),
        ("2.png", "b", "b", 0.8, 0.8),
    ]
    checked = check_labels(pd.DataFrame(rows, columns=columns), ["a", "b", "c"]).set_index("image")
    assert checked.loc["1.png", "probability_of_label"] == pytest.approx(0.6)
    assert checked.loc["1.png", "predicted"] == "a"
    assert checked["seeds"].to_dict() == {"1.png": 2, "2.png": 1}


def test_class_without_judged_images_is_never_predicted_but_does_not_matter():
    classes, _, labels, probabilities = predict(wrong=20)
    predictions = stored(classes, labels, probabilities)
    expected = check_labels(predictions, classes)
    pd.testing.assert_frame_equal(check_labels(predictions, ["an absent class", *classes]), expected)


def test_no_issue_is_found_where_every_prediction_is_right():
    classes, _, labels, _ = predict()
    certain = np.full((len(labels), len(classes)), 0.01)
    certain[np.arange(len(labels)), labels] = 0.91
    checked = check_labels(stored(classes, labels, certain), classes)
    assert not checked["label_issue"].any()
