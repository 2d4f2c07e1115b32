"""Synthetic textures: gratings whose orientation and spacing depend on the class, packed as in the workflow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from entr.jobs.tables import write_table

CONTRAST, NOISE = 60, 20
"""Amplitude of the gratings and standard deviation of the noise, in grey levels."""
VALIDATION_INTERVAL = 5
"""Every fifth image of each class is for validation."""


def write_textures(folder: Path, n_images: int, n_classes: int, shapes: Sequence[tuple[int, int]]) -> dict[str, Path]:
    """Write ``pixels.npy``, ``manifest.csv`` and ``split.csv``.

    Parameters
    ----------
    folder : Path
        Directory for the three files.
    n_images, n_classes : int
        Number of images and of classes.
    shapes : sequence of (int, int)
        Height and width in px, assigned to the images in turn.

    Returns
    -------
    dict of str to Path
        The files, by the names of the parameters of `train_cell`.
    """
    rng = np.random.default_rng(0)
    classes = np.arange(n_images) % n_classes
    extents = np.array([shapes[index % len(shapes)] for index in range(n_images)])
    pixels = np.zeros((n_images, *extents.max(0), 3), np.uint8)
    for index, (number, (height, width)) in enumerate(zip(classes, extents, strict=True)):
        pixels[index, :height, :width] = _grating(number / n_classes, height, width, rng)
    files = {
        "pixels": folder / "pixels.npy",
        "manifest": folder / "manifest.csv",
        "split": folder / "split.csv",
    }
    names = [f"{index}.png" for index in range(n_images)]
    np.save(files["pixels"], pixels)
    manifest = {"image": names, "height": extents[:, 0], "width": extents[:, 1]}
    split = {
        "image": names,
        "label": [f"class {number:02d}" for number in classes],
        "class": classes,
        "validation": np.arange(n_images) // n_classes % VALIDATION_INTERVAL == 0,
        "test": False,
    }
    write_table(pd.DataFrame(manifest), files["manifest"])
    write_table(pd.DataFrame(split), files["split"])
    return files


def _grating(fraction: float, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return a grating of random phase and brightness; `fraction`, in [0, 1), sets its orientation and spacing."""
    angle = np.pi * fraction + rng.normal(0, 0.03)
    frequency = 2 * np.pi * (5 + 20 * fraction)
    y, x = np.ogrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    phase = frequency * (y * np.sin(angle) + x * np.cos(angle)) + rng.uniform(0, 2 * np.pi)
    grey = rng.uniform(100, 155) + CONTRAST * np.sin(phase)
    noise = rng.normal(0, NOISE, (height, width, 1))
    tint = rng.normal(0, 10, 3)
    return (grey[:, :, None] + noise + tint).clip(0, 255).astype(np.uint8)
