"""Image files of each kind that Pillow writes and the workflow accepts."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
from fuzz.damage import damage_bytes
from fuzz.target import Target
from PIL import Image

from entr.config.schema import Images
from entr.data.downscale import Rejected, downscale_file

SETTINGS = Images().model_dump()
WIDTH, HEIGHT = 24, 20
ORIENTATION = 0x0112
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

VARIANTS = {
    "AVIF": [("RGB", {}), ("RGBA", {"quality": 30})],
    "BMP": [("1", {}), ("L", {}), ("P", {}), ("RGB", {}), ("RGBA", {})],
    "DDS": [("RGB", {}), ("RGBA", {}), ("L", {}), *(("RGBA", {"pixel_format": f"DXT{kind}"}) for kind in (1, 3, 5))],
    "GIF": [("L", {}), ("P", {}), ("RGB", {"save_all": True}), ("P", {"transparency": 3})],
    "ICO": [("RGBA", {"sizes": [(16, 16), (24, 20)]}), ("RGB", {"bitmap_format": "bmp", "sizes": [(24, 20)]})],
    "JPEG": [("L", {}), ("RGB", {"progressive": True}), ("CMYK", {}), ("RGB", {"subsampling": 0, "comment": b"c" * 9})],
    "JPEG2000": [("L", {}), ("RGB", {}), ("RGBA", {"no_jp2": True}), ("RGB", {"tile_size": (16, 16)})],
    "PCX": [("1", {}), ("L", {}), ("P", {}), ("RGB", {})],
    "PNG": [
        *((mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        ("P", {"transparency": 3}),
        ("RGB", {"save_all": True}),
    ],
    "PPM": [("1", {}), ("L", {}), ("RGB", {}), ("I;16", {})],
    "SGI": [("L", {}), ("RGB", {}), ("RGBA", {"bpc": 1}), ("L", {"bpc": 2})],
    "TIFF": [
        *((mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16")),
        *(("RGB", {"compression": name}) for name in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg")),
        ("1", {"compression": "group4"}),
        ("RGB", {"save_all": True}),
        ("RGB", {"big_tiff": True}),
    ],
    "TGA": [("L", {}), ("P", {}), ("RGB", {"compression": "tga_rle"}), ("RGBA", {"compression": "tga_rle"})],
    "WEBP": [("RGB", {}), ("RGBA", {"lossless": True}), ("RGB", {"save_all": True})],
}
"""Modes and options with which each format is written."""
PLAIN = [
    b"P1\n24 20\n" + b"0 1 " * 240,
    b"P2\n# comment\n24 20\n255\n" + b"7 250 " * 240,
    b"P3 24 20 1000\n" + b"0 500 1000\n" * 480,
]
"""Image files of numbers written in digits."""


def _image(mode: str, shift: int = 0) -> Image.Image:
    rows, columns = np.indices((HEIGHT, WIDTH))
    colours = np.stack([10 * rows + shift, 10 * columns, 5 * (rows + columns), 255 - 4 * columns], -1).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray((1000 * rows + 2000 * columns).astype(np.uint16))
    image = Image.fromarray(colours, "RGBA")
    return image.convert("RGB").convert(mode) if mode in {"P", "CMYK", "YCbCr", "1"} else image.convert(mode)


def make_corpus() -> list[bytes]:
    """Return a small image in each of the variants."""
    corpus = list(PLAIN)
    for file_format, variants in VARIANTS.items():
        for mode, options in variants:
            extra = {"append_images": [_image(mode, 9), _image(mode, 99)]} if "save_all" in options else {}
            if file_format in {"JPEG", "PNG", "TIFF", "WEBP", "AVIF"} and mode == "RGB":
                exif = Image.Exif()
                exif[ORIENTATION] = 6
                extra["exif"] = exif
            buffer = io.BytesIO()
            _image(mode).save(buffer, file_format, **options, **extra)
            corpus.append(buffer.getvalue())
    return corpus


def damage(random: Random, corpus: Sequence[bytes]) -> bytes:
    """Damage an image; half of the damaged PNG files get correct checksums, so that their chunks are read."""
    data = damage_bytes(random, corpus)
    return _with_checksums(data) if data.startswith(PNG_SIGNATURE) and random.random() < 0.5 else data


def _with_checksums(png: bytes) -> bytes:
    fixed, at = bytearray(png), len(PNG_SIGNATURE)
    while at + 12 <= len(fixed):
        end = at + 8 + struct.unpack_from(">I", fixed, at)[0]
        if end + 4 > len(fixed):
            break
        struct.pack_into(">I", fixed, end, zlib.crc32(fixed[at + 4 : end]))
        at = end + 4
    return bytes(fixed)


def read(data: bytes, folder: Path) -> bool:
    """Downscale an image as the job of a dataset does."""
    original, images = folder / "originals" / "class" / "image", folder / "images"
    original.parent.mkdir(parents=True)
    (images / "class").mkdir(parents=True)
    original.write_bytes(data)
    return not isinstance(downscale_file(folder / "originals", images, SETTINGS, (0, "class", original)), Rejected)


TARGET = Target(
    name="images",
    title="image files in each of the 14 formats",
    make_corpus=make_corpus,
    damage=damage,
    read=read,
    inputs=32_000,
    quick_inputs=800,
    memory=4 * 2**30,
)
