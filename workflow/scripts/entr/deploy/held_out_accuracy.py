"""Accuracy of the exported model on images that were held out from training and from every choice."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fastcore.basics import chunked
from PIL import Image
from scipy import stats

from entr.deploy.predict import Classifier
from entr.jobs.tables import read_columns

BATCH_SIZE = 64


@dataclass(frozen=True)
class HeldOutAccuracy:
    """Accuracy on the test images."""

    images: int
    correct: int
    accuracy: float
    low: float
    high: float
    """Limits of the 95 % Wilson score interval (Wilson 1927, doi 10.2307/2276774)."""

    def __str__(self) -> str:
        accuracy, low, high = (f"{100 * value:.1f}" for value in (self.accuracy, self.low, self.high))
        return f"{accuracy} % [{low} to {high}] ({self.correct} of {self.images})"


def measure_held_out_accuracy(folder: str | Path, images: str | Path, split: str | Path) -> HeldOutAccuracy:
    """Classify the test images as `predict.pyz` does, without test-time augmentation.

    Parameters
    ----------
    folder : path
        Directory of the exported model.
    images : path
        Directory of the downscaled images.
    split : path
        The table of `split.split_dataset`.
    """
    classifier = Classifier.open(folder, "cpu")
    table = read_columns(split, image=str, label=str, test=bool)
    rows = table[table["test"]]
    correct = 0
    for batch in chunked(rows.itertuples(index=False), BATCH_SIZE):
        squares = []
        for row in batch:
            with Image.open(Path(images, row.image)) as image:
                squares.append(classifier.prepare(image.convert("RGB")))
        predicted = np.array(classifier.classes)[classifier.probabilities(squares).argmax(1)]
        correct += int((predicted == [row.label for row in batch]).sum())
    low, high = stats.binomtest(correct, len(rows)).proportion_ci(method="wilson")
    return HeldOutAccuracy(len(rows), correct, correct / len(rows), float(low), float(high))
