"""Micrographs of steel rendered from geometry: the data set that needs no network.

Seven microstructures as an optical microscope shows them. Every image begins as equiaxed
grains of random size, grey and boundary; most classes add their own geometry. Scale,
orientation, contrast, brightness, lighting, focus, noise and scratches are drawn for each
image, so that neither brightness nor any single pixel tells the classes apart. Ferrite and
pearlite differ only in lamellae of a few px at 250 px, most of which average away at 100 px.

The geometry follows the textbook appearance of each structure, e.g. Bhadeshia & Honeycombe,
"Steels: Microstructure and Properties" (2017).
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from entr import sources

SIZE = 320
"""Side of an image in px; more than is kept after downscaling."""

Picture = NDArray[np.float32]
"""Grey values of shape (`SIZE`, `SIZE`), with mean near 0 and standard deviation near 1."""


def fetch(name: str, entry: Mapping[str, Any], destination: str | Path, processes: int = 1) -> None:
    """Render the originals of a dataset; no network, no licence but ours.

    Parameters
    ----------
    name : str
        The dataset, for messages.
    entry : mapping
        Its entry in the catalogue: ``images_per_class`` and ``seed``.
    destination : path
        Becomes a folder with one sub-folder a class.
    processes : int
        Number of processes to render with.
    """
    with sources.filling(name, entry, destination) as folder:
        write(folder, entry["images_per_class"], entry["seed"], processes)


def write(folder: Path, per_class: int, seed: int, processes: int = 1) -> None:
    """Render every class into a sub-folder of its own.

    Parameters
    ----------
    folder : Path
        Gets `per_class` PNG files in each sub-folder.
    per_class : int
        Number of images of each class. Image *i* is the same whatever this number is.
    seed : int
        Another seed gives other images of the same classes.
    processes : int
        Number of processes to render with; the images do not depend on it.
    """
    for name in MICROSTRUCTURES:
        (folder / name).mkdir()
    jobs = [(name, index) for name in MICROSTRUCTURES for index in range(per_class)]
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(partial(_write_one, folder, seed), jobs, chunksize=8))


def _write_one(folder: Path, seed: int, job: tuple[str, int]) -> None:
    name, index = job
    Image.fromarray(render(name, seed, index)).save(folder / name / f"{index:04d}.png", compress_level=1)


def render(name: str, seed: int, index: int) -> NDArray[np.uint8]:
    """Render one micrograph.

    Parameters
    ----------
    name : str
        A key of `MICROSTRUCTURES`.
    seed, index : int
        Which image of the class.

    Returns
    -------
    array of uint8, shape (SIZE, SIZE)
        Grey values.
    """
    rng = np.random.default_rng([seed, list(MICROSTRUCTURES).index(name), index])
    return _photograph(MICROSTRUCTURES[name](rng), rng)


def _grains(rng: Generator, across: float) -> NDArray[np.intp]:
    """Divide the picture into Voronoi cells, about `across` of them along a side; return their numbers."""
    count = max(4, int(across**2))
    points = rng.integers(0, SIZE, (count, 2))
    empty = np.ones((SIZE, SIZE), bool)
    empty[points[:, 0], points[:, 1]] = False
    nearest = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
    _, cells = np.unique(nearest[0] * SIZE + nearest[1], return_inverse=True)
    return cells.reshape(SIZE, SIZE)


def _boundaries(cells: NDArray[np.intp], width: float) -> Picture:
    """Return 1 on the borders between cells, falling to 0 over `width` px."""
    edge = (cells != np.roll(cells, 1, 0)) | (cells != np.roll(cells, 1, 1))
    edge[0], edge[:, 0] = False, False
    line = ndimage.gaussian_filter(edge.astype(np.float32), width)
    return line / max(float(line.max()), 1e-6)


def _standard(picture: Picture) -> Picture:
    return (picture - picture.mean()) / max(float(picture.std()), 1e-6)


def _position(rng: Generator, angle: float | NDArray | None = None) -> tuple[Picture, Picture]:
    """Return coordinates along and across a direction, in px."""
    angle = rng.uniform(0, np.pi) if angle is None else angle
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    return x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)


def _matrix(rng: Generator) -> tuple[Picture, NDArray[np.intp]]:
    """Return grains of ferrite, the ground that most structures lie on, and their numbers."""
    cells = _grains(rng, rng.uniform(3, 6))
    greys = rng.normal(0, rng.uniform(0.2, 0.4), cells.max() + 1)
    boundaries = _boundaries(cells, rng.uniform(1, 2))
    return _standard(greys[cells].astype(np.float32) - rng.uniform(1, 2) * boundaries), cells


def ferrite(rng: Generator) -> Picture:
    """Equiaxed grains and nothing else."""
    return _matrix(rng)[0]


def pearlite(rng: Generator) -> Picture:
    """The same grains, each filled with fine parallel lamellae of its own direction and spacing."""
    picture, cells = _matrix(rng)
    count = cells.max() + 1
    spacing = rng.uniform(4, 7) * rng.uniform(0.8, 1.2, count)
    _, across = _position(rng, rng.uniform(0, np.pi, count)[cells])
    lamellae = np.sin(2 * np.pi * across / spacing[cells] + rng.uniform(0, 2 * np.pi, count)[cells])
    return picture + rng.uniform(0.6, 1) * lamellae.astype(np.float32)


def tempered_carbides(rng: Generator) -> Picture:
    """The same grains, sprinkled with round particles of carbide."""
    picture, _ = _matrix(rng)
    dots = (rng.random((SIZE, SIZE)) < rng.uniform(0.002, 0.004)).astype(np.float32)
    particles = np.minimum(ndimage.gaussian_filter(dots, rng.uniform(2.2, 3)), 0.02)
    return _standard(picture) - rng.uniform(1, 1.4) * _standard(particles)


def austenite_twins(rng: Generator) -> Picture:
    """Grains crossed by straight, parallel-sided annealing twins."""
    cells = _grains(rng, rng.uniform(2, 4))
    count = cells.max() + 1
    greys = rng.normal(0, rng.uniform(0.2, 0.5), count)[cells]
    _, across = _position(rng, rng.uniform(0, np.pi, count)[cells])
    period = rng.uniform(45, 90, count)[cells]
    phase = (across / period + rng.random(count)[cells]) % 1
    twin = (phase < rng.uniform(0.25, 0.45, count)[cells]) & (rng.random(count) < 0.9)[cells]
    edges = _boundaries(cells * 2 + twin, rng.uniform(0.7, 1.3))
    return _standard((greys + rng.uniform(0.8, 1.3) * twin - rng.uniform(0.8, 1.5) * edges).astype(np.float32))


def lath_martensite(rng: Generator) -> Picture:
    """Packets of parallel laths of uneven width and grey, in a few directions for each old grain."""
    packets = _grains(rng, rng.uniform(2.5, 5))
    count = packets.max() + 1
    angles = rng.choice(rng.uniform(0, np.pi) + np.arange(3) * np.pi / 3, count) + rng.normal(0, 0.1, count)
    along, across = _position(rng, angles[packets])
    wobble = 2 * np.sin(along / rng.uniform(15, 40))
    lath = np.floor((across + wobble) / rng.uniform(7, 14)).astype(int) % 997
    greys = rng.normal(0, 1, (count, 997))
    boundaries = _boundaries(packets, rng.uniform(0.7, 1.3))
    return _standard((greys[packets, lath] - rng.uniform(0.5, 1.5) * boundaries).astype(np.float32))


def needle_bainite(rng: Generator) -> Picture:
    """Dark, tapering needles in few directions, over grains."""
    picture, _ = _matrix(rng)
    angles = rng.uniform(0, np.pi) + np.arange(3) * np.pi / 3
    for _ in range(rng.integers(35, 60)):
        along, across = _position(rng, rng.choice(angles) + rng.normal(0, 0.12))
        centre = rng.integers(0, SIZE, 2)
        along, across = along - along[tuple(centre)], across - across[tuple(centre)]
        length, width = rng.uniform(40, 90), rng.uniform(4, 7)
        inside = np.abs(across) < width * np.clip(1 - np.abs(along) / length, 0, None)
        picture = np.where(inside, picture - 1.8, picture)
    return _standard(ndimage.gaussian_filter(picture, 0.6))


def graphite_nodules(rng: Generator) -> Picture:
    """Dark round nodules of graphite, many with a bright ring of ferrite, over grains."""
    picture, _ = _matrix(rng)
    y, x = np.mgrid[:SIZE, :SIZE]
    typical = rng.uniform(14, 26)
    for _ in range(rng.integers(6, 13)):
        row, column = rng.integers(0, SIZE, 2)
        radius = typical * rng.lognormal(0, 0.25)
        lobes = np.sin(rng.integers(3, 7) * np.arctan2(y - row, x - column))
        distance = np.hypot(y - row, x - column) + 0.04 * radius * rng.normal() * lobes
        ring = rng.uniform(1, 1.7)
        picture = np.where(distance < radius * ring, np.maximum(picture, 0.8), picture)
        picture = np.where(distance < radius, -3, picture)
    return _standard(ndimage.gaussian_filter(picture.astype(np.float32), 0.7))


def _photograph(picture: Picture, rng: Generator) -> NDArray[np.uint8]:
    """Turn the ideal picture as a microscope would: orientation, focus, lighting, scratches, noise."""
    picture = np.rot90(picture, rng.integers(4))
    picture = ndimage.gaussian_filter(picture, rng.uniform(0, 0.8))
    for _ in range(rng.poisson(2)):
        along, across = _position(rng)
        offset = rng.uniform(across.min(), across.max())
        scratch = np.exp(-(((across - offset + 4 * np.sin(along / 90)) / rng.uniform(0.8, 1.6)) ** 2))
        picture = picture + rng.choice([-1, 1]) * rng.uniform(0.5, 1.5) * scratch
    along, _ = _position(rng)
    light = rng.uniform(0, 0.25) * _standard(along) + rng.uniform(-0.1, 0.1) * _standard(along**2)
    contrast, brightness = rng.uniform(26, 36), rng.uniform(115, 140)
    noise = rng.normal(0, rng.uniform(1, 5), picture.shape)
    return np.clip(brightness + contrast * (picture + light) + noise, 0, 255).astype(np.uint8)


MICROSTRUCTURES: dict[str, Callable[[Generator], Picture]] = {
    "austenite_twins": austenite_twins,
    "ferrite": ferrite,
    "graphite_nodules": graphite_nodules,
    "lath_martensite": lath_martensite,
    "needle_bainite": needle_bainite,
    "pearlite": pearlite,
    "tempered_carbides": tempered_carbides,
}
"""What draws each class, by its name."""
