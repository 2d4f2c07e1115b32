"""Reducing every original, once, to a small RGB image, and packing the small images as pixels."""

import hashlib
import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import ExifTags, Image
from PIL.Image import Resampling, Transpose

from entr import duplicates, formats
from entr.folders import files, readable
from entr.guards import EntrError, atomic_directory, atomic_write

log = logging.getLogger("entr")

SIXTEEN_BITS = 2**16 - 1
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What turns an image of each EXIF orientation upright."""
ON_ITS_SIDE = {Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90}


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
    """Of the original when it is upright."""
    width: int
    height: int
    frames: int
    """Frames or pages of the original; the first is used."""
    sha256: str
    """Checksum of the original's bytes."""
    phash: str
    """Perceptual hash, as imagehash writes it."""
    group: int = 0
    """The same for images that are the same or nearly so, directly or through others."""


@dataclass(frozen=True)
class Rejected:
    """A file that is not used."""

    source: str
    label: str
    kind: Literal["no image", "contradiction"]
    reason: str


def downscale(
    originals: str | Path,
    settings: Mapping[str, Any],
    processes: int = 1,
    *,
    images: str | Path,
    manifest: str | Path,
    rejected: str | Path,
    pairs: str | Path,
) -> None:
    """Reduce all originals to small RGB images, and find those that are the same or nearly so.

    Aspect ratio is kept, nothing is enlarged, the filter is antialiased (Lanczos), and the EXIF
    orientation is applied [paper, Methods: "maximum size of 250 px"]. Images that look the same but
    have different labels are left out: one of the labels is wrong, and nobody knows which.

    Parameters
    ----------
    originals : path
        Folder with one sub-folder a class.
    settings : mapping
        The section ``images`` of the configuration.
    processes : int
        Number of processes; the result does not depend on it.
    images : path
        Becomes a folder of PNG files, numbered within each class.
    manifest, rejected : path
        CSV files of `Kept` and `Rejected` rows.
    pairs : path
        CSV file of the images that are the same or nearly so: ``first, second`` (paths of the
        originals), ``first_label, second_label, distance`` (bits of the perceptual hash that
        differ) and ``same_file`` (whether the bytes are the same).

    Raises
    ------
    EntrError
        When more than ``max_rejected`` of the files are left out, or no image of a class is left.
    """
    originals = Path(originals)
    jobs = [(number, label, path) for number, (label, path) in enumerate(files(originals))]
    with atomic_directory(images) as folder:
        for label in {readable(label) for _, label, _ in jobs}:
            (folder / label).mkdir()
        with ProcessPoolExecutor(processes) as pool:
            results = list(pool.map(partial(_reduce_one, originals, folder, settings), jobs, chunksize=16))
        kept = [result for result in results if not isinstance(result, Rejected)]
        lost = [result for result in results if isinstance(result, Rejected)]
        for row in lost:
            log.warning("left out %s: %s", row.source, row.reason)
        _complain(lost, results, originals, settings["max_rejected"])
        rows, contradictions, alike = _compared(kept, settings["max_distance"])
        for row in contradictions:
            (folder / row.image).unlink()
        lost += [_contradiction(row, alike) for row in contradictions]
        _complain(lost, results, originals, settings["max_rejected"])
    moving = sum(row.frames > 1 for row in rows)
    if moving:
        log.warning("%d files hold several frames or pages; the first of each is used", moving)
    _write_rows(manifest, Kept, rows)
    _write_rows(rejected, Rejected, lost)
    with atomic_write(pairs) as file:
        alike.to_csv(file, index=False)
    log.info(
        "%d images reduced to at most %d px; left out: %d that are no images, %d with contradicting labels; "
        "%d pairs are the same or nearly so",
        len(rows), settings["max_size"], len(lost) - len(contradictions), len(contradictions), len(alike),
    )  # fmt: skip


def _complain(lost: Sequence[Rejected], results: Sequence[Any], originals: Path, max_rejected: float) -> None:
    """Stop where so much is left out that it is no accident, or all of a class."""
    if not results or len(lost) > max_rejected * len(results):
        raise EntrError(
            f"{len(lost)} of {len(results)} files in {originals} are no usable images{_example(lost)}. "
            "Remove or replace them, or raise images.max_rejected"
        )
    every = Counter(result.label if isinstance(result, Rejected) else result[0].label for result in results)
    for label, count in Counter(row.label for row in lost).items():
        if count == every[label]:
            raise EntrError(
                f"no image of the class {label!r} in {originals} can be used"
                f"{_example([row for row in lost if row.label == label])}. Replace its files, or remove its folder"
            )


def _example(lost: Sequence[Rejected]) -> str:
    return f"; the first is {lost[0].source}: {lost[0].reason}" if lost else ""


def _compared(
    kept: Sequence[tuple[Kept, duplicates.Hashes]], max_distance: int
) -> tuple[list[Kept], list[Kept], pd.DataFrame]:
    """Return the images to use, those whose labels contradict each other, and the pairs that are alike."""
    rows = [row for row, _ in kept]
    hashes = np.stack([hashes for _, hashes in kept])
    found = duplicates.pairs(hashes, [row.sha256 for row in rows], max_distance)
    labels = np.array([row.label for row in rows])
    contradict = labels[found["first"]] != labels[found["second"]]
    out = set(found.loc[contradict, ["first", "second"]].to_numpy().ravel())
    stay = found[~found["first"].isin(out) & ~found["second"].isin(out)]
    groups = duplicates.groups(len(rows), stay["first"], stay["second"])
    # numbered in the order of the manifest, whatever was left out
    numbers = pd.factorize(np.array([groups[row] for row in range(len(rows)) if row not in out]))[0]
    used = [row for number, row in enumerate(rows) if number not in out]
    names = np.array([row.source for row in rows])
    ends = {side: found[side].to_numpy() for side in ("first", "second")}
    alike = found.assign(**{side: names[end] for side, end in ends.items()})
    for side, end in ends.items():
        alike[f"{side}_label"] = labels[end]
    return (
        [replace(row, group=int(number)) for row, number in zip(used, numbers, strict=True)],
        [rows[number] for number in sorted(out)],
        alike[["first", "second", "first_label", "second_label", "distance", "same_file"]],
    )


def _contradiction(row: Kept, alike: pd.DataFrame) -> Rejected:
    for one, other in (("first", "second"), ("second", "first")):
        of_row = alike[(alike[one] == row.source) & (alike["first_label"] != alike["second_label"])]
        if len(of_row):
            twin = of_row.iloc[0]
            reason = f"looks like {twin[other]}, whose label is {twin[f'{other}_label']} (by images.max_distance)"
            return Rejected(row.source, row.label, "contradiction", reason)
    raise AssertionError(row)


def _reduce_one(
    originals: Path, folder: Path, settings: Mapping[str, Any], job: tuple[int, str, Path]
) -> tuple[Kept, duplicates.Hashes] | Rejected:
    number, label, path = job
    source, label = readable(path.relative_to(originals).as_posix()), readable(label)
    try:
        # not by its name: Pillow 13 scrambles an uncompressed TIFF that lies on its side
        content = path.read_bytes()
        small, (width, height), frames = reduced(content, settings)
    except UnusableError as error:
        return Rejected(source, label, "no image", str(error))
    except OSError as error:
        return Rejected(source, label, "no image", _in_words(error))
    name = f"{label}/{number:06d}.png"
    small.save(folder / name, compress_level=1)
    hashes = duplicates.hashes_of(small)
    checksum = hashlib.sha256(content).hexdigest()
    row = Kept(name, label, source, width, height, *small.size, frames, checksum, duplicates.digits(hashes))
    return row, hashes


class UnusableError(ValueError):
    """What a file holds is no image that can be used; says why."""


def reduced(content: bytes, settings: Mapping[str, Any]) -> tuple[Image.Image, tuple[int, int], int]:
    """Reduce one image, as `downscale` does.

    Parameters
    ----------
    content : bytes
        What the file holds.
    settings : mapping
        The section ``images`` of the configuration.

    Returns
    -------
    small : Image
        Upright, RGB, 8 bits.
    size : tuple of int
        Width and height in px before, upright.
    frames : int
        Frames or pages of the file, of which the first is used.

    Raises
    ------
    UnusableError
        When it is no image, or one that is too large or too small.
    """
    try:
        with _opened(content, settings) as image:
            width, height = image.size
            frames = getattr(image, "n_frames", 1)
            small = _small(image, settings["max_size"], settings["reduce_by"])
            if _turn(image) in ON_ITS_SIDE:
                width, height = height, width
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        raise UnusableError(_in_words(error)) from error
    # no colour profile, comment or place of the original's
    small.info.clear()
    return small, (width, height), frames


def _in_words(error: Exception) -> str:
    """Return what an error says in one line, without addresses in memory, which differ each time."""
    return " ".join(re.sub(r" <[^>]* at 0x[0-9a-f]+>", "", f"{type(error).__name__}: {error}").split())


def _opened(content: bytes, settings: Mapping[str, Any]) -> Image.Image:
    """Open an image of a size that may be used, without reading its pixels.

    Raises
    ------
    ValueError
        When it has too many or too few px.
    """
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        image = formats.opened(io.BytesIO(content), settings["max_pixels"])
    width, height = image.size
    if width * height > settings["max_pixels"]:
        raise ValueError(f"{width} x {height} px are more than images.max_pixels")
    if min(width, height) < settings["min_size"]:
        raise ValueError(f"{width} x {height} px are less than images.min_size")
    return image


def _small(image: Image.Image, max_size: int, reduce_by: str) -> Image.Image:
    """Return an upright RGB copy whose longer (or shorter) side is at most `max_size` px."""
    longer = -(-max_size * max(image.size) // min(image.size)) if reduce_by == "shorter" else max_size
    # a JPEG file can be decoded at a fraction of its size
    image.draft(None, (2 * longer, 2 * longer))
    image.load()
    small = _rgb(image)
    way = _turn(image)
    small = small if way is None else small.transpose(way)
    small.thumbnail((longer, longer), Resampling.LANCZOS)
    return small


def _turn(image: Image.Image) -> Transpose | None:
    """Return what turns a loaded image upright; a TIFF file was turned when it was loaded."""
    try:
        return UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # damaged EXIF says nothing, and harms nothing
        log.debug("its EXIF is damaged", exc_info=True)
        return None


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
    shape = (len(table), int(table["height"].max()), int(table["width"].max()), 3)
    with atomic_write(pixels, "wb") as file:
        # one at a time: a hundred thousand images are more than a machine's memory
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for name in table["image"]:
            canvas = np.zeros(shape[1:], np.uint8)
            with Image.open(Path(images, name)) as image:
                canvas[: image.height, : image.width] = np.asarray(image)
            file.write(canvas.tobytes())
    log.info("%d images in one array, %.2f GB", shape[0], np.prod(shape, dtype=float) / 1e9)
