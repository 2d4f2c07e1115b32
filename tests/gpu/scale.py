"""The scale of the checks: full size on a GPU, tiny in a trial run on a CPU."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Numbers of images and classes, image sizes, models and tolerances of all checks."""

    n_images: int
    n_classes: int
    sizes: tuple[int, ...]
    """Image sides in px, in ascending order; images are stored at the last one."""
    batch_size: int
    models: tuple[str, ...]
    rounds: int
    """Repetitions of each speed measurement; the median is reported."""
    min_seconds: float
    """Duration of each part of the inference benchmark."""
    tolerance: float
    """Relative difference that two measurements of the same time may have; infinite on a shared machine."""


GPU = Scale(
    n_images=1280,
    n_classes=16,
    sizes=(100, 150, 200, 250),
    batch_size=64,
    models=("resnet18", "resnet50"),
    rounds=5,
    min_seconds=0.5,
    tolerance=0.25,
)
CPU = Scale(
    n_images=80,
    n_classes=4,
    sizes=(24, 28, 32, 40),
    batch_size=16,
    models=("resnet18",),
    rounds=1,
    min_seconds=0.1,
    tolerance=float("inf"),
)
