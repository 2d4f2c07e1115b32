"""Downscaling compared with plain Pillow, interleaved in one run: images per second.

    PYTHONPATH=workflow/scripts .venv/bin/python benchmarks/downscale.py FOLDER…

Each folder has one subfolder per class. `plain` opens an image, downscales it with `thumbnail` (which
lets Pillow decode a JPEG file at a fraction of its size) and saves it as PNG, with the compression of
the workflow or with Pillow's default. `entr` does what the workflow does: it also handles all image
formats, computes checksums and perceptual hashes in eight orientations, and finds near-duplicates.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image

from entr.config.schema import Images
from entr.data.downscale import downscale_dataset
from entr.data.image_folder import labelled_files

ROUNDS = 5
MAX_SIDE = Images().max_side
PILLOW_DEFAULT = -1
"""Pillow's default compression level of PNG files."""


def plain(folder: Path, destination: Path, compress_level: int = PILLOW_DEFAULT) -> None:
    """Downscale the images one after the other with Pillow alone."""
    for number, (_, path) in enumerate(labelled_files(folder)):
        with Image.open(path) as image:
            image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
            image.convert("RGB").save(destination / f"{number}.png", compress_level=compress_level)


def entr(folder: Path, destination: Path, processes: int) -> None:
    """Downscale the images as the workflow does."""
    outputs = {name: destination / name for name in ("images", "manifest", "rejected", "duplicates")}
    downscale_dataset(folder, Images().model_dump(), processes, **outputs)


def seconds(implementation: Callable[[Path, Path], None], folder: Path) -> float:
    """Return the seconds that an implementation takes, with a new output directory."""
    with tempfile.TemporaryDirectory() as destination:
        start = time.perf_counter()
        implementation(folder, Path(destination))
        return time.perf_counter() - start


def main() -> None:
    """Time all implementations in turn for several rounds, and print the medians."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="image folders with one subfolder per class")
    cores = os.cpu_count() or 1
    implementations: dict[str, Callable[[Path, Path], None]] = {
        "plain, default PNG": plain,
        "plain, fast PNG": partial(plain, compress_level=1),
        **{f"entr, {count} processes": partial(entr, processes=count) for count in sorted({1, 2, cores})},
    }
    for folder in parser.parse_args().folders:
        n_images = sum(1 for _ in labelled_files(folder))
        timings: dict[str, list[float]] = {name: [] for name in implementations}
        for _ in range(ROUNDS):
            for name, implementation in implementations.items():
                timings[name].append(seconds(implementation, folder))
        print(f"{folder.name}: {n_images} images, {cores} cores, median of {ROUNDS} rounds")
        for name, times in timings.items():
            print(f"  {name:22} {n_images / statistics.median(times):7.0f} images/s")


if __name__ == "__main__":
    main()
