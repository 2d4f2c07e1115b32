"""Source `synthetic`: rendered micrographs of steel, a synthetic dataset that needs no download.

The images resemble those of an optical microscope and show one of seven microstructures. Every
image starts from equiaxed grains of random size, grey value and boundary; most classes add their
own geometry. Scale, orientation, contrast, brightness, lighting, focus, noise and scratches are
random for each image, so that neither brightness nor any single pixel separates the classes.
Ferrite and pearlite differ only in lamellae that are a few px wide at 250 px; at 100 px most of
them are averaged out.

The geometry follows the textbook appearance of each structure, e.g. Bhadeshia & Honeycombe,
"Steels: Microstructure and Properties" (2017).
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from entr.data.sources import staging
from entr.jobs.process_pool import process_pool

SIZE = 320
"""Side of an image in px; larger than the default of `images.max_side`."""
LATHS = 997
"""Number of different grey values of laths per packet; larger than the number of laths."""

GreyImage = NDArray[np.float32]
"""Grey values, shape (`SIZE`, `SIZE`), with a mean near 0 and a standard deviation near 1."""


def render_micrographs(name: str, entry: Mapping[str, Any], destination: str | Path, processes: int = 1) -> None:
    """Render the originals of a synthetic dataset.

    Parameters
    ----------
    name : str
        Name of the dataset, for messages.
    entry : mapping
        Its entry in the catalogue: ``images_per_class`` and ``seed``.
    destination : path
        Folder to create, with one subfolder per class.
    processes : int
        Number of rendering processes.
    """
    with staging.staged_originals(name, entry, destination) as folder:
        render_dataset(folder, entry["images_per_class"], entry["seed"], processes)


def render_dataset(folder: Path, per_class: int, seed: int, processes: int = 1) -> None:
    """Render each class into a subfolder of its own.

    Parameters
    ----------
    folder : Path
        Existing folder, in which the subfolders are created.
    per_class : int
        Number of images per class. Image *i* does not depend on this number.
    seed : int
        Seed of the random images.
    processes : int
        Number of rendering processes; the images do not depend on it.
    """
    for name in MICROSTRUCTURES:
        (folder / name).mkdir()
    jobs = [(name, index) for name in MICROSTRUCTURES for index in range(per_class)]
    with process_pool(processes) as pool:
        list(pool.map(partial(_render_file, folder, seed), jobs, chunksize=8))


def _render_file(folder: Path, seed: int, job: tuple[str, int]) -> None:
    name, index = job
    Image.fromarray(render(name, seed, index)).save(folder / name / f"{index:04d}.png", compress_level=1)


def render(name: str, seed: int, index: int) -> NDArray[np.uint8]:
    """Render one micrograph.

    Parameters
    ----------
    name : str
        A key of `MICROSTRUCTURES`.
    seed, index : int
        Seed of the dataset, and number of the image in its class.

    Returns
    -------
    array of uint8, shape (SIZE, SIZE)
        Grey values.
    """
    rng = np.random.default_rng([seed, list(MICROSTRUCTURES).index(name), index])
    return _simulate_microscope(MICROSTRUCTURES[name](rng), rng)


def _grains(rng: Generator, across: float) -> NDArray[np.intp]:
    """Return the numbers of Voronoi cells, with about `across` cells along a side of the image."""
    count = max(4, int(across**2))
    points = rng.integers(0, SIZE, (count, 2))
    empty = np.ones((SIZE, SIZE), bool)
    empty[points[:, 0], points[:, 1]] = False
    nearest = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
    _, cells = np.unique(nearest[0] * SIZE + nearest[1], return_inverse=True)
    return cells.reshape(SIZE, SIZE)


def _boundaries(cells: NDArray[np.intp], width: float) -> GreyImage:
    """Return a value that falls from 1 on the boundaries of the cells to 0 over `width` px."""
    edge = (cells != np.roll(cells, 1, 0)) | (cells != np.roll(cells, 1, 1))
    edge[0], edge[:, 0] = False, False
    line = ndimage.gaussian_filter(edge.astype(np.float32), width)
    return line / max(float(line.max()), 1e-6)


def _standardise(image: GreyImage) -> GreyImage:
    return (image - image.mean()) / max(float(image.std()), 1e-6)


def _rotated_coordinates(rng: Generator, angle: float | NDArray | None = None) -> tuple[GreyImage, GreyImage]:
    """Return the coordinates in px along and across a direction, which is random by default."""
    angle = rng.uniform(0, np.pi) if angle is None else angle
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    return x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)


def _ferrite_matrix(rng: Generator) -> tuple[GreyImage, NDArray[np.intp]]:
    """Return a matrix of ferrite grains, in which most microstructures are embedded, and the grain numbers."""
    cells = _grains(rng, rng.uniform(3, 6))
    greys = rng.normal(0, rng.uniform(0.2, 0.4), cells.max() + 1)
    boundaries = _boundaries(cells, rng.uniform(1, 2))
    return _standardise(greys[cells].astype(np.float32) - rng.uniform(1, 2) * boundaries), cells


def ferrite(rng: Generator) -> GreyImage:
    """Render equiaxed grains alone."""
    return _ferrite_matrix(rng)[0]


def pearlite(rng: Generator) -> GreyImage:
    """Render ferrite grains with fine parallel lamellae, whose direction and spacing vary by grain."""
    image, cells = _ferrite_matrix(rng)
    count = cells.max() + 1
    spacing = rng.uniform(4, 7) * rng.uniform(0.8, 1.2, count)
    _, across = _rotated_coordinates(rng, rng.uniform(0, np.pi, count)[cells])
    lamellae = np.sin(2 * np.pi * across / spacing[cells] + rng.uniform(0, 2 * np.pi, count)[cells])
    return image + rng.uniform(0.6, 1) * lamellae.astype(np.float32)


def tempered_carbides(rng: Generator) -> GreyImage:
    """Render ferrite grains with scattered round carbide particles."""
    image, _ = _ferrite_matrix(rng)
    dots = (rng.random((SIZE, SIZE)) < rng.uniform(0.002, 0.004)).astype(np.float32)
    particles = np.minimum(ndimage.gaussian_filter(dots, rng.uniform(2.2, 3)), 0.02)
    return _standardise(image) - rng.uniform(1, 1.4) * _standardise(particles)


def austenite_twins(rng: Generator) -> GreyImage:
    """Render grains with straight, parallel-sided annealing twins."""
    cells = _grains(rng, rng.uniform(2, 4))
    count = cells.max() + 1
    greys = rng.normal(0, rng.uniform(0.2, 0.5), count)[cells]
    _, across = _rotated_coordinates(rng, rng.uniform(0, np.pi, count)[cells])
    period = rng.uniform(45, 90, count)[cells]
    phase = (across / period + rng.random(count)[cells]) % 1
    twin = (phase < rng.uniform(0.25, 0.45, count)[cells]) & (rng.random(count) < 0.9)[cells]
    edges = _boundaries(cells * 2 + twin, rng.uniform(0.7, 1.3))
    return _standardise((greys + rng.uniform(0.8, 1.3) * twin - rng.uniform(0.8, 1.5) * edges).astype(np.float32))


def lath_martensite(rng: Generator) -> GreyImage:
    """Render packets of parallel laths of uneven width and grey value, in few directions."""
    packets = _grains(rng, rng.uniform(2.5, 5))
    count = packets.max() + 1
    angles = rng.choice(rng.uniform(0, np.pi) + np.arange(3) * np.pi / 3, count) + rng.normal(0, 0.1, count)
    along, across = _rotated_coordinates(rng, angles[packets])
    wobble = 2 * np.sin(along / rng.uniform(15, 40))
    lath = np.floor((across + wobble) / rng.uniform(7, 14)).astype(int) % LATHS
    greys = rng.normal(0, 1, (count, LATHS))
    boundaries = _boundaries(packets, rng.uniform(0.7, 1.3))
    return _standardise((greys[packets, lath] - rng.uniform(0.5, 1.5) * boundaries).astype(np.float32))


def needle_bainite(rng: Generator) -> GreyImage:
    """Render dark, tapering needles in few directions in a ferrite matrix."""
    image, _ = _ferrite_matrix(rng)
    angles = rng.uniform(0, np.pi) + np.arange(3) * np.pi / 3
    for _ in range(rng.integers(35, 60)):
        along, across = _rotated_coordinates(rng, rng.choice(angles) + rng.normal(0, 0.12))
        centre = rng.integers(0, SIZE, 2)
        along, across = along - along[tuple(centre)], across - across[tuple(centre)]
        length, width = rng.uniform(40, 90), rng.uniform(4, 7)
        inside = np.abs(across) < width * np.clip(1 - np.abs(along) / length, 0, None)
        image = np.where(inside, image - 1.8, image)
    return _standardise(ndimage.gaussian_filter(image, 0.6))


def graphite_nodules(rng: Generator) -> GreyImage:
    """Render dark round graphite nodules, many with a bright ferrite ring, in a ferrite matrix."""
    image, _ = _ferrite_matrix(rng)
    y, x = np.mgrid[:SIZE, :SIZE]
    typical_radius = rng.uniform(14, 26)
    for _ in range(rng.integers(6, 13)):
        row, column = rng.integers(0, SIZE, 2)
        radius = typical_radius * rng.lognormal(0, 0.25)
        lobes = np.sin(rng.integers(3, 7) * np.arctan2(y - row, x - column))
        distance = np.hypot(y - row, x - column) + 0.04 * radius * rng.normal() * lobes
        ring = rng.uniform(1, 1.7)
        image = np.where(distance < radius * ring, np.maximum(image, 0.8), image)
        image = np.where(distance < radius, -3, image)
    return _standardise(ndimage.gaussian_filter(image.astype(np.float32), 0.7))


def _simulate_microscope(image: GreyImage, rng: Generator) -> NDArray[np.uint8]:
    """Add the imperfections of a micrograph: orientation, focus, scratches, lighting, noise."""
    image = np.rot90(image, int(rng.integers(4)))
    image = ndimage.gaussian_filter(image, rng.uniform(0, 0.8))
    for _ in range(rng.poisson(2)):
        along, across = _rotated_coordinates(rng)
        offset = rng.uniform(across.min(), across.max())
        scratch = np.exp(-(((across - offset + 4 * np.sin(along / 90)) / rng.uniform(0.8, 1.6)) ** 2))
        image = image + rng.choice([-1, 1]) * rng.uniform(0.5, 1.5) * scratch
    along, _ = _rotated_coordinates(rng)
    light = rng.uniform(0, 0.25) * _standardise(along) + rng.uniform(-0.1, 0.1) * _standardise(along**2)
    contrast, brightness = rng.uniform(26, 36), rng.uniform(115, 140)
    noise = rng.normal(0, rng.uniform(1, 5), image.shape)
    return np.clip(brightness + contrast * (image + light) + noise, 0, 255).astype(np.uint8)


MICROSTRUCTURES: dict[str, Callable[[Generator], GreyImage]] = {
    "austenite_twins": austenite_twins,
    "ferrite": ferrite,
    "graphite_nodules": graphite_nodules,
    "lath_martensite": lath_martensite,
    "needle_bainite": needle_bainite,
    "pearlite": pearlite,
    "tempered_carbides": tempered_carbides,
}
"""Functions that render the classes, by class."""
