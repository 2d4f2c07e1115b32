"""Downscaling against plain Pillow, in turns within one run: images a second and core.

    PYTHONPATH=workflow/scripts .venv/bin/python benchmarks/downscale.py FOLDER…

Each folder has one sub-folder a class. `plain` opens, reduces by `thumbnail` (which lets a JPEG file
be decoded at a fraction of its size) and saves PNG files, fast or as Pillow does by default. `entr`
does what the workflow does: besides that, all kinds of images, checksums and perceptual hashes in
eight orientations; and then it searches for copies.
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

from entr import images
from entr.config import Images
from entr.folders import files

ROUNDS = 5


def plain(folder: Path, into: Path, **options: int) -> None:
    """Reduce images one after the other, as a person would."""
    for number, (_, path) in enumerate(files(folder)):
        with Image.open(path) as image:
            image.thumbnail((250, 250), Image.Resampling.LANCZOS)
            image.convert("RGB").save(into / f"{number}.png", **options)


def entr(folder: Path, into: Path, processes: int) -> None:
    """Reduce images as the workflow does."""
    outputs = {name: into / name for name in ("images", "manifest", "rejected", "pairs")}
    images.downscale(folder, Images().model_dump(), processes, **outputs)


def seconds(work: Callable[[Path, Path], None], folder: Path) -> float:
    """Return how long a piece of work takes that writes into an empty folder."""
    with tempfile.TemporaryDirectory() as into:
        begin = time.perf_counter()
        work(folder, Path(into))
        return time.perf_counter() - begin


def main() -> None:
    """Time all ways in turn, several rounds, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    cores = os.cpu_count() or 1
    ways: dict[str, Callable[[Path, Path], None]] = {
        "plain, default PNG": plain,
        "plain, fast PNG": partial(plain, compress_level=1),
        **{f"entr, {count} processes": partial(entr, processes=count) for count in sorted({1, 2, cores})},
    }
    for folder in parser.parse_args().folders:
        count = sum(1 for _ in files(folder))
        timed = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, work in ways.items():
                timed[name].append(seconds(work, folder))
        print(f"{folder.name}: {count} images, {cores} cores, median of {ROUNDS} rounds")
        for name, found in timed.items():
            print(f"  {name:22} {count / statistics.median(found):7.0f} images/s")


if __name__ == "__main__":
    main()
