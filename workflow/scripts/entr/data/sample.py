"""A downscaled sample of a folder of images, from which the time for all of them is estimated."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from entr.data.downscale import Rejected, downscale_file
from entr.data.image_folder import decode_name, labelled_files
from entr.data.pack import pack_images
from entr.jobs.errors import EntrError
from entr.jobs.process_pool import process_pool
from entr.jobs.tables import write_table


@dataclass(frozen=True)
class ImageSample:
    """Some images of a folder, downscaled and packed, and what they say about all of its files."""

    pixels: Path
    """The packed images, see `pack.pack_images`."""
    manifest: pd.DataFrame
    """Their rows, see `downscale.ManifestRow`."""
    files: int
    """Number of files in the folder."""
    usable_fraction: float
    """Fraction of the sampled files that are usable images."""
    seconds_per_file: float
    """Seconds of downscaling per file, with all processes."""


def downscale_sample(
    originals: str | Path, settings: Mapping[str, Any], limit: int, processes: int, folder: str | Path
) -> ImageSample:
    """Downscale files that are spread evenly over the folder, as `downscale.downscale_dataset` does with all of them.

    Parameters
    ----------
    originals : path
        Folder with one subfolder per class.
    settings : mapping
        The section ``images`` of the configuration.
    limit : int
        Largest number of files in the sample.
    processes : int
        Number of processes.
    folder : path
        Empty folder for the downscaled images.

    Raises
    ------
    EntrError
        If the folder has no files, or if none of the sample is a usable image.
    """
    originals, folder = Path(originals), Path(folder)
    files = list(labelled_files(originals))
    chosen = [(number, *files[number]) for number in range(0, len(files), -(-len(files) // limit) or 1)]
    for label in {decode_name(label) for _, label, _ in chosen}:
        (folder / label).mkdir()
    begin = time.perf_counter()
    with process_pool(processes) as pool:
        results = list(pool.map(partial(downscale_file, originals, folder, settings), chosen, chunksize=16))
    seconds = time.perf_counter() - begin
    rows = [result[0] for result in results if not isinstance(result, Rejected)]
    if not rows:
        raise EntrError(f"{originals} has no usable images; add images, in one subfolder per class")
    manifest, pixels = folder / "manifest.csv", folder / "pixels.npy"
    table = pd.DataFrame([asdict(row) for row in rows])
    write_table(table, manifest)
    pack_images(folder, manifest, pixels)
    return ImageSample(pixels, table, len(files), len(rows) / len(chosen), seconds / len(chosen))
