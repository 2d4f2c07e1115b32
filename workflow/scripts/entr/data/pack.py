"""Packing of downscaled images into one array."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from entr.jobs.errors import one_line
from entr.jobs.files import atomic_write
from entr.jobs.tables import damaged_file, read_columns

log = logging.getLogger("entr")


def pack_images(images: str | Path, manifest: str | Path, pixels: str | Path) -> None:
    """Decode all downscaled images, once, into one array.

    Parameters
    ----------
    images : path
        Folder of the downscaled images.
    manifest : path
        CSV file with one row per image, see `entr.data.downscale.ManifestRow`.
    pixels : path
        NumPy file to write: uint8, shape (images, height, width, 3), with the largest height and width.
        The image of row *i* of the manifest is in the upper left corner of item *i*.

    Raises
    ------
    EntrError
        If the manifest is damaged, or lists an image that is missing, damaged or of another size.
    """
    table = read_columns(manifest, image=str, height=int, width=int)
    rows = list(table[["image", "height", "width"]].itertuples(index=False))
    largest = {table["height"].argmax(), table["width"].argmax()}
    for row in (rows[position] for position in largest):
        # before memory is allocated for images of this size
        with _opened(images, row, manifest):
            pass
    shape = (len(table), int(table["height"].max()), int(table["width"].max()), 3)
    # a killed job leaves a hidden file of several gigabytes
    for partial_file in Path(pixels).parent.glob(f".{Path(pixels).name}.*.part"):
        partial_file.unlink()
    with atomic_write(pixels, "wb") as file:
        # streamed, because the array of a hundred thousand images may exceed the memory
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for row in rows:
            canvas = np.zeros(shape[1:], np.uint8)
            with _opened(images, row, manifest) as image:
                canvas[: image.height, : image.width] = np.asarray(image)
            file.write(canvas.tobytes())
    log.info("%s: %d images packed (%.2f GB)", images, shape[0], np.prod(shape, dtype=float) / 1e9)


@contextmanager
def _opened(images: str | Path, row: Any, manifest: str | Path) -> Iterator[Image.Image]:  # noqa: ANN401  a named tuple
    """Open the image of a row of the manifest."""
    try:
        with Image.open(Path(images, row.image)) as image:
            if image.size != (row.width, row.height):
                raise ValueError("it has another size")
            yield image
    except (OSError, ValueError, SyntaxError) as error:
        raise damaged_file(manifest, f"the image {row.image!r} cannot be used: {one_line(error)}") from error
