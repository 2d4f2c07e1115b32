"""Reducing every original, once, to a small RGB image, and packing the small images as pixels."""

import logging
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.Image import Resampling

from entr import sources
from entr.guards import EntrError, atomic_directory, atomic_write, sha256

log = logging.getLogger("entr")

UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for a file that is no image, is cut short, is damaged or is far too large."""


@dataclass(frozen=True)
class Kept:
    """A row of the manifest; the order of rows is the order of the pixels."""

    image: str
    """Path of the small image below the folder of images."""
    label: str
    source: str
    """Path of the original below the folder of originals."""
    source_width: int
    source_height: int
    width: int
    height: int
    sha256: str
    """Checksum of the original's bytes."""


@dataclass(frozen=True)
class Rejected:
    """A file that is no usable image."""

    source: str
    label: str
    reason: str


def downscale(
    originals: str | Path,
    images: str | Path,
    manifest: str | Path,
    rejected: str | Path,
    *,
    max_size: int,
    reduce_by: str,
    max_rejected: float,
    processes: int = 1,
) -> None:
    """Reduce all originals to RGB images of at most `max_size` px.

    Aspect ratio is kept, nothing is enlarged, the filter is antialiased (Lanczos), and the EXIF
    orientation is applied [paper, Methods: "maximum size of 250 px"].

    Parameters
    ----------
    originals : path
        Folder with one sub-folder a class.
    images : path
        Becomes a folder of PNG files, numbered within each class.
    manifest, rejected : path
        CSV files of `Kept` and `Rejected` rows.
    max_size : int
        Largest side in px, or smallest with ``reduce_by="shorter"``.
    reduce_by : {"longer", "shorter"}
        The side that `max_size` speaks of.
    max_rejected : float
        Largest share of files, in [0, 1], that may be rejected.
    processes : int
        Number of processes; the result does not depend on it.

    Raises
    ------
    EntrError
        When more than `max_rejected` of the files are no images, or no image is left.
    """
    originals = Path(originals)
    jobs = [(number, label, path) for number, (label, path) in enumerate(sources.files(originals))]
    with atomic_directory(images) as folder:
        for label in {label for _, label, _ in jobs}:
            (folder / label).mkdir()
        with ProcessPoolExecutor(processes) as pool:
            reduce = partial(_reduce_one, originals, folder, max_size, reduce_by)
            results = list(pool.map(reduce, jobs, chunksize=16))
        kept = [row for row in results if isinstance(row, Kept)]
        lost = [row for row in results if isinstance(row, Rejected)]
        for row in lost:
            log.warning("left out %s: %s", row.source, row.reason)
        if not kept or len(lost) > max_rejected * len(results):
            example = f"; the first is {lost[0].source}: {lost[0].reason}" if lost else ""
            raise EntrError(
                f"{len(lost)} of {len(results)} files in {originals} are no usable images{example}. "
                "Remove or replace them, or raise images.max_rejected"
            )
    _write_rows(manifest, Kept, kept)
    _write_rows(rejected, Rejected, lost)
    log.info("%d images reduced to at most %d px, %d files left out", len(kept), max_size, len(lost))


def _reduce_one(
    originals: Path, folder: Path, max_size: int, reduce_by: str, job: tuple[int, str, Path]
) -> Kept | Rejected:
    number, label, path = job
    source = path.relative_to(originals).as_posix()
    try:
        with Image.open(path) as image:
            width, height = image.size
            small = _small(image, max_size, reduce_by)
    except UNREADABLE as error:
        return Rejected(source, label, f"{type(error).__name__}: {error}".replace(str(path), path.name))
    name = f"{label}/{number:06d}.png"
    small.save(folder / name, compress_level=1)
    return Kept(name, label, source, width, height, small.width, small.height, sha256(path))


def _small(image: Image.Image, max_size: int, reduce_by: str) -> Image.Image:
    """Return an upright RGB copy whose longer (or shorter) side is at most `max_size` px."""
    box = (max_size, max_size)
    if reduce_by == "shorter":
        longer = -(-max_size * max(image.size) // min(image.size))
        box = (longer, longer)
    # before decoding, so that JPEG's own reduction can be used
    image.thumbnail(box, Resampling.LANCZOS)
    return ImageOps.exif_transpose(image).convert("RGB")


def _write_rows(path: str | Path, kind: type, rows: Iterable[Kept | Rejected]) -> None:
    frame = pd.DataFrame([asdict(row) for row in rows], columns=list(kind.__annotations__))
    with atomic_write(path) as file:
        frame.to_csv(file, index=False)


def pack(images: str | Path, manifest: str | Path, pixels: str | Path) -> None:
    """Decode all small images, once, into one array.

    Parameters
    ----------
    images : path
        Folder of the small images.
    manifest : path
        CSV file of `Kept` rows.
    pixels : path
        Becomes a NumPy file of uint8, shape (images, height, width, 3): row *i* holds the image
        of the manifest's row *i* in its upper left corner; height and width are the largest found.
    """
    table = pd.read_csv(manifest, dtype={"label": str}, keep_default_na=False)
    canvas = np.zeros((len(table), table["height"].max(), table["width"].max(), 3), np.uint8)
    for row, name in enumerate(table["image"]):
        with Image.open(Path(images, name)) as image:
            canvas[row, : image.height, : image.width] = np.asarray(image)
    with atomic_write(pixels, "wb") as file:
        np.save(file, canvas)
