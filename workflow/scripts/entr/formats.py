"""The kinds of image file that are read, and opening one without reading its pixels."""

from pathlib import Path
from typing import IO

from PIL import Image

FORMATS = (
    "AVIF", "BMP", "DDS", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "SGI", "TIFF", "WEBP", "TGA",
)  # fmt: skip
"""Names of Pillow's. Not all that it knows: for EPS it would run Ghostscript. TGA, which has no mark, comes last."""


def opened(file: Path | IO[bytes], max_pixels: int | None = None) -> Image.Image:
    """Open an image.

    Parameters
    ----------
    file : Path or binary file
        Told apart by its content, whatever its name.
    max_pixels : int, optional
        Pillow refuses by itself what claims more than twice this many px, and warns before.

    Raises
    ------
    Exception
        Of nearly any kind, when it is no image or a damaged one.
    """
    Image.MAX_IMAGE_PIXELS = max_pixels
    return Image.open(file, formats=FORMATS)
