"""Decoding of one image file to an upright RGB image of limited size, with Pillow."""

import io
import logging
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

from entr.data import image_formats
from entr.jobs.errors import one_line

log = logging.getLogger("entr")

MAX_UINT16 = 2**16 - 1
EXIF_TRANSPOSES = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""Operation that makes an image upright, by its EXIF orientation."""
SWAPS_SIDES = {Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90}
HEIF_TYPES = {b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")}
"""Bytes 4 to 11 of a file in the High Efficiency Image File Format (ISO/IEC 23008-12), in which phones save photos."""
MAX_PAGES = 20
"""Pages of a TIFF file that are counted. A small file can link so many of them that counting takes hours."""


class UnusableError(ValueError):
    """An unusable image file; the message states the reason."""


def downscale_image(content: bytes, settings: Mapping[str, Any]) -> tuple[Image.Image, tuple[int, int], int]:
    """Downscale one image as `downscale_dataset` does.

    Parameters
    ----------
    content : bytes
        Content of the file.
    settings : mapping
        The section ``images`` of the configuration.

    Returns
    -------
    downscaled : Image
        Upright, RGB, 8 bits per channel.
    size : tuple of int
        Width and height of the upright original in px.
    frames : int
        Frames or pages of the file, of which the first is used. More than `MAX_PAGES` pages of a TIFF file are not
        counted.

    Raises
    ------
    UnusableError
        If the content is not an image, or the image is too large or too small.
    """
    try:
        with _open_within_limits(content, settings) as image:
            width, height = image.size
            frames = _count_frames(image)
            downscaled = _downscaled_rgb(image, settings["max_side"], settings["resize_side"])
            if _exif_transpose(image) in SWAPS_SIDES:
                width, height = height, width
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises errors of almost any type for a corrupt file
        if isinstance(error, UnidentifiedImageError) and content[4:12] in HEIF_TYPES:
            raise UnusableError("HEIC is not supported; convert the images to JPEG or PNG") from error
        raise UnusableError(describe_with_type(error)) from error
    # drops the colour profile, comments and location of the original
    downscaled.info.clear()
    return downscaled, (width, height), frames


def describe_with_type(error: Exception) -> str:
    """Return the type and the message of an exception on one line."""
    return f"{type(error).__name__}: {one_line(error)}"


def _open_within_limits(content: bytes, settings: Mapping[str, Any]) -> Image.Image:
    """Open an image without decoding its pixels, and check its size.

    Raises
    ------
    ValueError
        If it has too many or too few pixels.
    """
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        image = image_formats.open_image(io.BytesIO(content), settings["max_pixels"])
    width, height = image.size
    if width * height > settings["max_pixels"]:
        raise ValueError(f"{width} x {height} px is more than images.max_pixels")
    if min(width, height) < settings["min_side"]:
        raise ValueError(f"{width} x {height} px is less than images.min_side")
    return image


def _count_frames(image: Image.Image) -> int:
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1)
    count = 1
    try:
        while count < MAX_PAGES:
            image.seek(count)
            count += 1
    except EOFError:
        pass
    image.seek(0)
    return count


def _downscaled_rgb(image: Image.Image, max_side: int, resize_side: str) -> Image.Image:
    """Return an upright RGB copy whose longer (or shorter) side has at most `max_side` px."""
    longer = -(-max_side * max(image.size) // min(image.size)) if resize_side == "shorter" else max_side
    # lets Pillow decode a JPEG file at a fraction of its size
    image.draft(None, (2 * longer, 2 * longer))
    image.load()
    downscaled = _to_rgb(image)
    transpose = _exif_transpose(image)
    downscaled = downscaled if transpose is None else downscaled.transpose(transpose)
    downscaled.thumbnail((longer, longer), Resampling.LANCZOS)
    return downscaled


def _exif_transpose(image: Image.Image) -> Transpose | None:
    """Return the operation that makes a loaded image upright; Pillow rotates TIFF files when it loads them."""
    try:
        return EXIF_TRANSPOSES.get(image.getexif().get(ExifTags.Base.Orientation, 0))
    except Exception:  # corrupt EXIF data is no reason to reject the image
        log.debug("unreadable EXIF data", exc_info=True)
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return the first frame with 8 bits per channel, whatever the mode of the file.

    16-bit grey values are scaled, where Pillow alone would clip them. Transparent pixels become
    white, where Pillow alone would show a hidden colour. Colour profiles are ignored.

    Raises
    ------
    ValueError
        If grey values are floating-point numbers or have more than 16 bits, because the values of
        black and white are then unknown.
    """
    if image.mode == "F":
        raise ValueError("grey values are floating-point numbers; convert them to 8 or 16 bits")
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > MAX_UINT16:
            raise ValueError("grey values have more than 16 bits; convert them to 8 or 16 bits")
        return Image.fromarray((grey / 257).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
