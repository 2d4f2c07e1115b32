"""The tables `manifest.csv` and `split.csv`, which anyone can edit."""

import tempfile
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from fuzz.damage import damage_bytes, insert_tokens, number
from fuzz.target import Target
from PIL import Image

from entr.config.schema import Images
from entr.data.downscale import downscale_dataset
from entr.data.pack import pack_images
from entr.data.split import split_dataset

IMAGES_PER_CLASS = 4
TOKENS = [
    *(b",", b'"', b"\n", b"\r", b"\0", b"\xff", b"nan", b"inf", b"-1", b"1e400", b"0x10", b"True", b"False", b"1.5"),
    *(b"../../escaped.png", b"/proc/self/cwd/escaped", b"\n\n", b",,,", b"image", b"label", b"height", b"class"),
    *(b"99999999999999999999", b"a/000000.png", b"b/000004.png", b"2020-01-01", b"\xef\xbb\xbf", b"# ", b"-0", b" "),
    *(b"1_000", b"x" * 300),
]


@cache
def dataset() -> Path:
    """Make a dataset of two classes once per process, and return its folder."""
    folder = Path(tempfile.mkdtemp())
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        class_folder = folder / "originals" / label
        class_folder.mkdir(parents=True)
        for index in range(IMAGES_PER_CLASS):
            pixels = rng.integers(0, 256, (20 + index, 24, 3), np.uint8)
            Image.fromarray(pixels).save(class_folder / f"{index}.png")
    tables = {name: folder / f"{name}.csv" for name in ("manifest", "rejected", "duplicates")}
    downscale_dataset(folder / "originals", Images().model_dump(), images=folder / "images", **tables)
    pack_images(folder / "images", folder / "manifest.csv", folder / "pixels.npy")
    split_dataset(folder / "manifest.csv", folder / "split.csv", seed=0, folds=2)
    return folder


def make_corpus() -> list[bytes]:
    return [(dataset() / name).read_bytes() for name in ("manifest.csv", "split.csv")]


def damage(random: Random, corpus: Sequence[bytes]) -> bytes:
    """Damage the bytes of a table, or its rows, columns and fields."""
    if random.random() < 0.6:
        return damage_bytes(random, corpus, [insert_tokens(*TOKENS)])
    rows = [line.split(b",") for line in random.choice(corpus).splitlines()]
    for _ in range(random.randrange(1, 4)):
        change, row, column = random.random(), random.randrange(len(rows)), random.randrange(len(rows[0]))
        if change < 0.5 and column < len(rows[row]):
            rows[row][column] = random.choice([str(number(random)).encode(), random.choice(TOKENS), b""])
        elif change < 0.65:
            rows.insert(row, list(rows[row]))
        elif change < 0.8 and len(rows) > 1:
            del rows[row]
        elif change < 0.9:
            value = random.choice([str(number(random)).encode(), random.choice(TOKENS), b""])
            rows[1:] = [[*fields[:column], value, *fields[column + 1 :]] for fields in rows[1:]]
        else:
            rows = [[*fields[:column], *fields[column + 1 :]] if len(rows[0]) > 1 else fields for fields in rows]
    return b"".join(b",".join(fields) + b"\n" for fields in rows)


def read(data: bytes, folder: Path) -> bool:
    """Split and pack the images of a manifest, and open them as a training does; or open them with a split."""
    from entr.training.resize import PackedImages

    manifest, split, pixels = (dataset() / name for name in ("manifest.csv", "split.csv", "pixels.npy"))
    if b"validation" in data.partition(b"\n")[0]:
        split = folder / "split.csv"
        split.write_bytes(data)
    else:
        manifest = folder / "manifest.csv"
        manifest.write_bytes(data)
        split_dataset(manifest, folder / "split.csv", seed=0, folds=2)
        pack_images(dataset() / "images", manifest, folder / "pixels.npy")
        if zlib.crc32(data) % 2:
            # as if the manifest had been changed before they were made
            split, pixels = folder / "split.csv", folder / "pixels.npy"
    PackedImages.open(pixels, manifest, split)
    return True


TARGET = Target(
    name="tables",
    title="`manifest.csv` and `split.csv`",
    make_corpus=make_corpus,
    damage=damage,
    read=read,
    inputs=10_000,
    quick_inputs=300,
    memory=2**28,
)
