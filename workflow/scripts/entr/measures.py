"""What a cell writes: how good its predictions are, how long it took, and on what machine."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from sklearn.metrics import f1_score, log_loss

from entr.regimes import Plan, Stage
from entr.section import Section

Share = Annotated[float, Field(ge=0, le=1)]


class Cell(Section):
    """Which cell of the grid this is."""

    dataset: str
    model: str
    regime: str
    seed: NonNegativeInt
    weights: str
    """First weights of the body: `imagenet`, the name of a file, or `none`, random numbers."""

    def __str__(self) -> str:
        return f"{self.dataset} {self.model} {self.regime} seed {self.seed}"


class Quality(Section):
    """How good predictions are."""

    correct: NonNegativeInt
    """Images whose most probable class is their own."""
    count: PositiveInt
    """Images predicted."""
    accuracy: Share
    """*A*: `correct` / `count`."""
    macro_f1: Share
    """F1 averaged over classes with equal weight."""
    negative_log_likelihood: NonNegativeFloat
    """Mean of -ln p of an image's own class, in nats."""
    calibration_error: Share
    """Expected calibration error, 15 bins of equal width (Guo et al. 2017, arXiv 1706.04599)."""


def quality(probabilities: NDArray[np.floating], classes: NDArray[np.integer]) -> Quality:
    """Measure predictions against the truth.

    Parameters
    ----------
    probabilities : array of float, shape (n, classes)
        Each row sums to 1.
    classes : array of int, shape (n,)
        The true class numbers.
    """
    predicted = probabilities.argmax(1)
    hit = predicted == classes
    every_class = np.arange(probabilities.shape[1])
    return Quality(
        correct=int(hit.sum()),
        count=len(hit),
        accuracy=float(hit.mean()),
        macro_f1=float(f1_score(classes, predicted, labels=every_class, average="macro", zero_division=0)),
        negative_log_likelihood=float(log_loss(classes, probabilities, labels=every_class)),
        calibration_error=_calibration_error(probabilities.max(1), hit),
    )


def _calibration_error(confidence: NDArray[np.floating], hit: NDArray[np.bool_], bins: int = 15) -> float:
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=confidence - hit, minlength=bins)
    return float(np.abs(gaps).sum() / len(hit))


class Evaluation(Section):
    """The quality of one stage at one size."""

    stage: Stage
    at: Literal["phase", "full"]
    """Measured at the size of the phase, as in the paper, or at the full size."""
    size: PositiveInt
    """Side of the images in px."""
    quality: Quality


class LayerGroup(Section):
    """How far the weights of some layers have come from the first ones."""

    distance: NonNegativeFloat
    """Euclidean distance from the first weights, relative to the norm of those."""
    norm: NonNegativeFloat
    """Euclidean norm."""


class Mechanism(Section):
    """What a stage says of how the network learns [paper, Discussion]; descriptive."""

    stage: Stage
    size: PositiveInt
    """Side of the images in px: the full size."""
    training: Quality
    """On the training images as they are, in evaluation mode; beside that of the validation images at
    the same size it gives the generalisation gap."""
    early: LayerGroup
    late: LayerGroup
    head: LayerGroup


class Seconds(Section):
    """Where the wall time of a cell went, in seconds; the parts add up to `wall`."""

    resize: NonNegativeFloat
    """Resizing all images to the size of each phase; part of *T*."""
    training: NonNegativeFloat
    """Training steps with their augmentation; part of *T*."""
    validation: NonNegativeFloat
    """Validation after each epoch."""
    rate_finder: NonNegativeFloat
    """Learning-rate finder; it is also what warms the device up before each phase."""
    evaluation: NonNegativeFloat
    """Measuring the stages, with test-time augmentation, the training images and the test sizes."""
    loading: NonNegativeFloat
    """Building the network and opening the pixels."""
    checkpoint: NonNegativeFloat
    """Keeping what is finished after each phase."""
    starting: NonNegativeFloat
    """From the start of the process to the first line of the cell's work: imports."""
    other: NonNegativeFloat
    """The rest."""
    wall: NonNegativeFloat
    """From the start of the process to writing its results; of a cell that was killed, only what it
    had finished is counted."""


class Environment(Section):
    """The machine and the software that a cell ran on."""

    device: str
    """Name of the GPU or the processor."""
    device_type: Literal["cpu", "cuda"]
    threads: PositiveInt
    """Threads that torch uses on the processor."""
    driver: str
    """Versions of CUDA and of the GPU's driver; empty on a processor."""
    python: str
    torch: str
    torchvision: str
    fastai: str


class Metrics(Cell):
    """All that is known of one finished cell."""

    plan: Plan
    """How it was trained, with every setting."""
    precision: Literal["float32", "bf16"]
    """Numbers of the forward pass."""
    epochs: PositiveInt
    """Epochs of all phases together."""
    classes: PositiveInt
    training_images: PositiveInt
    validation_images: PositiveInt
    evaluations: tuple[Evaluation, ...]
    mechanism: tuple[Mechanism, ...]
    """Of the stages before and after re-training the pretrained layers."""
    test_sizes: dict[int, Quality]
    """Of the finished network by the side of the images in px, without test-time augmentation."""
    seconds_until: dict[Stage, NonNegativeFloat]
    """*T* on the basis `training`: seconds of resizing and training until each stage."""
    image_passes: dict[str, dict[int, NonNegativeInt]]
    """Images that went through training steps until each stage, by size in px."""
    seconds: Seconds
    seconds_to_first_step: NonNegativeFloat | None
    """From the start of the process to the first training step, which is the finder's; of a cell that was
    killed, in its last process, if that trained at all."""
    resumed: NonNegativeInt
    """How often the cell was killed and went on from its last finished phase."""
    peak_memory_mb: NonNegativeFloat | None
    """Most memory allocated on a GPU, in 10^6 bytes; none on a processor."""
    environment: Environment
