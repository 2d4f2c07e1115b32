"""The schema of what a cell writes: quality of its predictions, times, machine, software and checksums."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from entr.config.base import FrozenModel
from entr.config.field_types import Sha256
from entr.config.training_plan import Plan, Stage

METRICS_FILE = "metrics.json"
"""Name of the file of `Metrics` in the directory of a cell."""
Fraction = Annotated[float, Field(ge=0, le=1)]
Resolution = Literal["phase", "full"]
"""The image size of an evaluation: that of the phase, as in the paper, or the full size."""


class Cell(FrozenModel):
    """A cell of the grid."""

    dataset: str
    model: str
    regime: str
    seed: NonNegativeInt
    weights: str
    """Initial weights of the backbone: `imagenet`, the name of a file, or `none` for random initialisation."""

    def __str__(self) -> str:
        return f"{self.dataset} {self.model} {self.regime} seed {self.seed}"

    def folder(self, root: str | Path) -> Path:
        """Return the directory of the cell below a directory that has one for each cell."""
        return Path(root, self.dataset, self.model, self.regime, f"seed{self.seed}")


class Quality(FrozenModel):
    """Scores of predictions."""

    correct: NonNegativeInt
    """Images whose most probable class is their label."""
    count: PositiveInt
    """Images predicted."""
    accuracy: Fraction
    """*A*: `correct` / `count`."""
    macro_f1: Fraction
    """F1 score, averaged over classes with equal weight."""
    negative_log_likelihood: NonNegativeFloat
    """Mean of -ln p of the label, in nats."""
    calibration_error: Fraction
    """Expected calibration error, 15 bins of equal width (Guo et al. 2017, arXiv 1706.04599)."""


class Evaluation(FrozenModel):
    """The quality of one stage at one image size."""

    stage: Stage
    resolution: Resolution
    size: PositiveInt
    """Side of the images in px."""
    quality: Quality


class LayerGroup(FrozenModel):
    """How far the weights of some layers are from the initial ones."""

    distance: NonNegativeFloat
    """Euclidean distance from the initial weights, relative to their norm."""
    norm: NonNegativeFloat
    """Euclidean norm."""


class TrainingDiagnostics(FrozenModel):
    """Descriptive diagnostics of how the model learns at a stage [paper, Discussion]."""

    stage: Stage
    size: PositiveInt
    """Side of the images in px: the full size."""
    training: Quality
    """On the training images without augmentation, in evaluation mode. Compared with the validation
    images at the same size it gives the generalisation gap."""
    early: LayerGroup
    late: LayerGroup
    head: LayerGroup


class Seconds(FrozenModel):
    """The wall time of a cell by part, in seconds; the parts add up to `wall`."""

    resize: NonNegativeFloat
    """Resizing the training images, once per change of the image size; included in *T*."""
    training: NonNegativeFloat
    """Training steps with their augmentation; included in *T*."""
    validation: NonNegativeFloat
    """Validation after each epoch."""
    lr_finder: NonNegativeFloat
    """Learning-rate finder, which also warms the device up before each phase."""
    evaluation: NonNegativeFloat
    """Evaluation of the stages, including test-time augmentation, training images and evaluation sizes."""
    loading: NonNegativeFloat
    """Building the model and opening the packed images."""
    checkpoint: NonNegativeFloat
    """Writing a checkpoint after each phase."""
    starting: NonNegativeFloat
    """From the start of the process until the code of the cell begins to run: mostly imports."""
    waiting: NonNegativeFloat
    """Choosing the device, and waiting for a GPU that another timed job used."""
    other: NonNegativeFloat
    """The rest."""
    wall: NonNegativeFloat
    """From the start of the process to writing the results; for an interrupted process, only up to its last
    completed phase."""


class Environment(FrozenModel):
    """The machine and the software that a cell ran on."""

    device: str
    """Name of the GPU or CPU."""
    device_type: Literal["cpu", "cuda"]
    threads: PositiveInt
    """CPU threads that torch uses."""
    driver: str
    """Versions of CUDA and of the GPU's driver; empty on a CPU."""
    python: str
    torch: str
    torchvision: str
    fastai: str


class Metrics(Cell):
    """The metrics of one finished cell."""

    plan: Plan
    """How it was trained, with every setting."""
    precision: Literal["float32", "bf16"]
    """Precision of the forward pass in training."""
    epochs: PositiveInt
    """Epochs of all phases together."""
    classes: PositiveInt
    training_images: PositiveInt
    validation_images: PositiveInt
    evaluations: tuple[Evaluation, ...]
    diagnostics: tuple[TrainingDiagnostics, ...]
    """Of the stages before and after fine-tuning of the pretrained layers."""
    other_sizes: dict[int, Quality]
    """Of the trained model at the evaluation sizes, by size in px, without test-time augmentation."""
    seconds_until: dict[Stage, NonNegativeFloat]
    """*T* on the basis `training`: seconds of resizing and training until each stage."""
    image_passes: dict[str, dict[int, NonNegativeInt]]
    """Images that went through training steps until each stage, by size in px."""
    seconds: Seconds
    seconds_to_first_step: NonNegativeFloat | None
    """From the start of the process to the first training step, which is the LR finder's; of a resumed
    cell in its last process, or None if that did not train."""
    resumed: NonNegativeInt
    """How often the cell was interrupted and resumed from a checkpoint."""
    peak_memory_mb: NonNegativeFloat | None
    """Most memory allocated on a GPU, in 10^6 bytes; None on a CPU."""
    sizes_in_host_memory: tuple[PositiveInt, ...] = ()
    """Image sides in px at which the training images did not fit on the GPU, so that *T* includes copying them."""
    environment: Environment
    checksums: dict[str, Sha256]
    """SHA-256 of each file of the cell, by name. That of `metrics.json` is of its content as JSON with sorted
    keys, without this entry."""

    def to_json(self) -> str:
        """Return the text of ``metrics.json``, to which the checksum of its content is added."""
        content = json.loads(self.model_dump_json())
        content["checksums"][METRICS_FILE] = content_checksum(content)
        return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def content_checksum(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the content of a ``metrics.json``, whatever its layout.

    Parameters
    ----------
    content : mapping
        The parsed file, with or without its own checksum.
    """
    of_others = {name: checksum for name, checksum in content["checksums"].items() if name != METRICS_FILE}
    text = json.dumps({**content, "checksums": of_others}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
