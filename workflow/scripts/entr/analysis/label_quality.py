"""How plausible the label of each image is, by confident learning (Northcutt et al. 2021, doi 10.1613/jair.1.12125)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray


def check_labels(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Check the label of each image with the predictions of models that were not trained on it.

    Parameters
    ----------
    predictions : DataFrame
        Final predictions for validation images, one row per seed and image, with the columns ``image, label,
        predicted, probability_of_label, probability_of_predicted``.
    classes : sequence of str
        All classes of the dataset; some may lack predictions.

    Returns
    -------
    DataFrame
        One row per image, the least plausible label first (self-confidence, the default of cleanlab), with the
        columns ``image, label, predicted, probability_of_label, probability_of_predicted, seeds, label_issue``.
        Probabilities are means over the seeds, of which ``seeds`` is the number. ``label_issue`` is whether the image
        may be mislabelled: a class other than its label is predicted, with at least the mean probability of that
        class over the images labelled with it.
    """
    by_image = predictions.groupby("image")
    labels = pd.Categorical(by_image["label"].first(), classes).codes.astype(int)
    by_seed = pd.DataFrame(class_probabilities(predictions, classes), index=predictions["image"])
    probabilities = by_seed.groupby(level="image").mean().to_numpy()
    rows, predicted = np.arange(len(labels)), probabilities.argmax(1)
    table = pd.DataFrame(
        {
            "image": list(by_image.groups),
            "label": np.array(classes, object)[labels],
            "predicted": np.array(classes, object)[predicted],
            "probability_of_label": probabilities[rows, labels],
            "probability_of_predicted": probabilities[rows, predicted],
            "seeds": by_image.size().to_numpy(),
            "label_issue": find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1),
        }
    )
    return table.sort_values(["probability_of_label", "image"], ignore_index=True)


def class_probabilities(predictions: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the probability of each class, as far as predictions state it.

    They state the probabilities of the label and of the predicted class. The rest is divided equally between the other
    classes, so that none exceeds the predicted class. With two classes the result is exact. With more, confident
    learning misses an image only if its second most probable class is convincing and the most probable is not.

    Parameters
    ----------
    predictions : DataFrame
        As in `check_labels`, n rows.
    classes : sequence of str
        Names of the classes.

    Returns
    -------
    array of float, shape (n, classes)
        Each row sums to 1.
    """
    rows = np.arange(len(predictions))
    labels, predicted = (pd.Categorical(predictions[name], classes).codes for name in ("label", "predicted"))
    stated = np.zeros((len(rows), len(classes)))
    stated[rows, labels] = predictions["probability_of_label"]
    stated[rows, predicted] = predictions["probability_of_predicted"]
    is_stated = np.zeros(stated.shape, bool)
    is_stated[rows, labels] = is_stated[rows, predicted] = True
    # of rounded probabilities, the sum may exceed 1
    rest = (1 - stated.sum(1, keepdims=True)).clip(0)
    others = (~is_stated).sum(1, keepdims=True)
    return np.where(is_stated, stated, rest / np.maximum(others, 1))
