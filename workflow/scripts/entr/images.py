"""Reducing every original, once, to a small RGB image, and packing the small images as pixels."""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.Image import Resampling

from entr import sources
from entr.guards import EntrError, atomic_directory, atomic_write, sha256

log = logging.getLogger("entr")

SIXTEEN_BITS = 2**16 - 1
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
    frames: int
    """Frames or pages of the original; the first is used."""
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
    settings: Mapping[str, Any],
    processes: int = 1,
) -> None:
    """Reduce all originals to small RGB images.

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
    settings : mapping
        The section ``images`` of the configuration.
    processes : int
        Number of processes; the result does not depend on it.

    Raises
    ------
    EntrError
        When more than ``max_rejected`` of the files are no images, or no image is left.
    """
    originals = Path(originals)
    jobs = [(number, label, path) for number, (label, path) in enumerate(sources.files(originals))]
    with atomic_directory(images) as folder:
        for label in {label for _, label, _ in jobs}:
            (folder / label).mkdir()
        with ProcessPoolExecutor(processes) as pool:
            reduce = partial(_reduce_one, originals, folder, settings)
            results = list(pool.map(reduce, jobs, chunksize=16))
        kept = [row for row in results if isinstance(row, Kept)]
        lost = [row for row in results if isinstance(row, Rejected)]
        for row in lost:
            log.warning("left out %s: %s", row.source, row.reason)
        if not kept or len(lost) > settings["max_rejected"] * len(results):
            example = f"; the first is {lost[0].source}: {lost[0].reason}" if lost else ""
            raise EntrError(
                f"{len(lost)} of {len(results)} files in {originals} are no usable images{example}. "
                "Remove or replace them, or raise images.max_rejected"
            )
    moving = sum(row.frames > 1 for row in kept)
    if moving:
        log.warning("%d files hold several frames or pages; the first of each is used", moving)
    _write_rows(manifest, Kept, kept)
    _write_rows(rejected, Rejected, lost)
    log.info("%d images reduced to at most %d px, %d files left out", len(kept), settings["max_size"], len(lost))


def _reduce_one(
    originals: Path, folder: Path, settings: Mapping[str, Any], job: tuple[int, str, Path]
) -> Kept | Rejected:
    number, label, path = job
    source = path.relative_to(originals).as_posix()
    try:
        # by its content: by its name, Pillow 13 scrambles an uncompressed TIFF that lies on its side
        with path.open("rb") as file, Image.open(file) as image:
            width, height = image.size
            if width * height > settings["max_pixels"]:
                raise ValueError(f"{width} x {height} px are more than images.max_pixels")
            if min(width, height) < settings["min_size"]:
                raise ValueError(f"{width} x {height} px are less than images.min_size")
            frames = getattr(image, "n_frames", 1)
            small = _small(image, settings["max_size"], settings["reduce_by"])
    except UNREADABLE as error:
        return Rejected(source, label, f"{type(error).__name__}: {error}".replace(str(path), path.name))
    name = f"{label}/{number:06d}.png"
    small.save(folder / name, compress_level=1)
    return Kept(name, label, source, width, height, small.width, small.height, frames, sha256(path))


def _small(image: Image.Image, max_size: int, reduce_by: str) -> Image.Image:
    """Return an upright RGB copy whose longer (or shorter) side is at most `max_size` px."""
    longer = -(-max_size * max(image.size) // min(image.size)) if reduce_by == "shorter" else max_size
    # a JPEG file can be decoded at a fraction of its size
    image.draft(None, (2 * longer, 2 * longer))
    ImageOps.exif_transpose(image, in_place=True)
    small = _rgb(image)
    small.thumbnail((longer, longer), Resampling.LANCZOS)
    return small


def _rgb(image: Image.Image) -> Image.Image:
    """Return the first frame in 8 bits of red, green and blue, whatever the file holds.

    Grey of 16 bits is scaled, where Pillow alone would clip it to white; what is transparent
    shows white, where Pillow alone would show a hidden colour. Colour profiles are ignored.

    Raises
    ------
    ValueError
        When grey values are floating-point numbers or have more than 16 bits: what is black and
        what is white cannot be known.
    """
    if image.mode == "F":
        raise ValueError("grey values are floating-point numbers; convert them to 8 or 16 bits")
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > SIXTEEN_BITS:
            raise ValueError("grey values have more than 16 bits; convert them to 8 or 16")
        return Image.fromarray((grey / 257).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


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
