"""Packing of downscaled images into one array."""

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from entr.jobs.files import atomic_write
from entr.jobs.tables import read_table

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
    """
    table = read_table(manifest)
    shape = (len(table), int(table["height"].max()), int(table["width"].max()), 3)
    with atomic_write(pixels, "wb") as file:
        # streamed, because the array of a hundred thousand images may exceed the memory
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for name in table["image"]:
            canvas = np.zeros(shape[1:], np.uint8)
            with Image.open(Path(images, name)) as image:
                canvas[: image.height, : image.width] = np.asarray(image)
            file.write(canvas.tobytes())
    log.info("%s: %d images packed (%.2f GB)", images, shape[0], np.prod(shape, dtype=float) / 1e9)
