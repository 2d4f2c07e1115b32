"""The paper's grid and its published accuracies (Wanger & Frohn 2018, arXiv 1807.11583), stated once."""

from dataclasses import dataclass

from entr.metrics.labels import FINAL, SUBTOTAL

DATASETS = ("steel", "ucm", "bees")
MODELS = ("resnet18", "resnet34", "resnet50")
CONTROL = "no-increase"
TREATMENTS = ("gradual", "stepwise")
"""The regimes that increase the image size."""
REGIMES = (CONTROL, *TREATMENTS)


@dataclass(frozen=True)
class PublishedAccuracy:
    """The best accuracy that the paper states for a dataset and stage [Results], from one run."""

    dataset: str
    stage: str
    accuracy: float
    """As printed, a fraction with three decimals."""
    correct: int
    """Number of correct predictions that fits the printed accuracy."""
    images: int
    """Validation images."""
    low: float
    high: float
    """95 % Wilson interval of `correct` of `images`."""
    cell: str
    """Regime and model that reached it."""

    @property
    def count(self) -> str:
        """Correct predictions of all validation images, in words."""
        return f"{self.correct} of {self.images}"


ILLEGIBLE = "no-increase, model not legible in the text"
PUBLISHED = (
    PublishedAccuracy("ucm", SUBTOTAL, 0.914, 192, 210, 0.869, 0.945, ILLEGIBLE),
    PublishedAccuracy("ucm", FINAL, 0.971, 204, 210, 0.939, 0.987, ILLEGIBLE),
    PublishedAccuracy("steel", SUBTOTAL, 0.796, 121, 152, 0.725, 0.852, "no-increase, resnet50"),
    PublishedAccuracy("steel", FINAL, 0.842, 128, 152, 0.776, 0.892, "no-increase, resnet50"),
    PublishedAccuracy("bees", SUBTOTAL, 0.738, 231, 313, 0.687, 0.784, "stepwise, resnet50"),
    PublishedAccuracy("bees", FINAL, 0.856, 268, 313, 0.813, 0.891, "stepwise, resnet50"),
)


def published(dataset: str, stage: str) -> PublishedAccuracy:
    """Return the best accuracy that the paper states for a dataset and stage.

    Raises
    ------
    KeyError
        If the paper does not state one.
    """
    for entry in PUBLISHED:
        if (entry.dataset, entry.stage) == (dataset, stage):
            return entry
    raise KeyError(f"{dataset}, {stage}")
