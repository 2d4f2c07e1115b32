"""Supported image formats, and opening an image without decoding it."""

from pathlib import Path
from typing import IO

from PIL import Image

FORMATS = (
    "AVIF",
    "BMP",
    "DDS",
    "GIF",
    "ICO",
    "JPEG",
    "JPEG2000",
    "PCX",
    "PNG",
    "PPM",
    "SGI",
    "TIFF",
    "WEBP",
    "TGA",
)
"""Pillow's names of the formats. EPS is missing because it runs Ghostscript. TGA has no signature, so it comes last."""


def open_image(file: Path | IO[bytes], max_pixels: int | None = None) -> Image.Image:
    """Open an image without decoding its pixels.

    Parameters
    ----------
    file : Path or binary file
        Its format is detected by content, whatever its name.
    max_pixels : int, optional
        Number of pixels above which Pillow warns of a decompression bomb; it rejects more than twice as many.

    Raises
    ------
    Exception
        Of almost any type, if the file is corrupt or not an image.
    """
    Image.MAX_IMAGE_PIXELS = max_pixels
    return Image.open(file, formats=FORMATS)
