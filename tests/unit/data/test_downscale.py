"""Downscaling of images of all formats, and rejection of unusable ones."""

import errno
import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from conftest import outputs_of_downscale
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from entr.config.schema import Images
from entr.data import image_folder
from entr.data.decode import MAX_PAGES, downscale_image
from entr.data.downscale import downscale_dataset
from entr.jobs.errors import EntrError

QUARTER_TURN = 6
"""EXIF orientation of an image that has to be rotated by 90°."""


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def jpeg(width, height, *, seed=0, **options):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.fixture
def downscale(tmp_path):
    def run(files, **changes):
        for name, content in files.items():
            path = tmp_path / "originals" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        keys = Images(max_side=100, max_rejected_fraction=0.5).model_dump() | changes
        outputs = outputs_of_downscale(tmp_path)
        downscale_dataset(tmp_path / "originals", keys, **outputs)
        return [pd.read_csv(outputs[name]) for name in ("manifest", "rejected")]

    return run


def test_longer_side_is_downscaled_and_small_images_are_not_enlarged(downscale):
    manifest, _ = downscale({"a/wide.jpg": jpeg(400, 200), "a/small.jpg": jpeg(30, 40), "b/tall.jpg": jpeg(100, 300)})
    found = manifest.set_index("source")[["width", "height"]].T.to_dict("list")
    assert found == {"a/wide.jpg": [100, 50], "a/small.jpg": [30, 40], "b/tall.jpg": [33, 100]}


def test_shorter_side_can_be_downscaled_instead(downscale):
    manifest, _ = downscale({"a/wide.jpg": jpeg(400, 200)}, resize_side="shorter")
    assert manifest[["width", "height"]].to_numpy().tolist() == [[200, 100]]


def test_exif_orientation_is_applied(downscale, tmp_path):
    manifest, _ = downscale({"a/rotated.jpg": jpeg(80, 40, exif=exif_of(QUARTER_TURN))})
    assert manifest[["width", "height"]].to_numpy().tolist() == [[40, 80]]
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert (small.mode, small.size) == ("RGB", (40, 80))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot identify"),
        (b"<html>", "cannot identify"),
        (jpeg(64, 64)[:-800], "truncated"),
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic", "HEIC is not supported; convert the images to JPEG or PNG"),
    ],
    ids=["empty", "web page", "truncated", "HEIC"],
)
def test_file_that_is_not_an_image_is_rejected_with_a_reason(downscale, content, reason):
    manifest, rejected = downscale({"a/good.jpg": jpeg(64, 64), "a/bad.jpg": content})
    assert manifest["source"].tolist() == ["a/good.jpg"]
    assert rejected[["source", "kind"]].to_numpy().tolist() == [["a/bad.jpg", "not an image"]]
    assert reason in rejected["reason"][0]


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (15, 400, "15 x 400 px is less than images.min_side"),
        (200, 200, "200 x 200 px is more than images.max_pixels"),
    ],
)
def test_image_that_is_too_small_or_too_large_is_rejected(downscale, width, height, reason):
    _, rejected = downscale({"a/rejected.jpg": jpeg(width, height), "a/good.jpg": jpeg(64, 64)}, max_pixels=30_000)
    assert rejected["reason"].tolist() == [f"ValueError: {reason}"]


def test_decompression_bomb_is_not_decoded(downscale):
    """The header claims 30000 x 30000 px, but the file contains no pixels."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    ]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    _, rejected = downscale({"a/bomb.png": bomb, "a/good.jpg": jpeg(64, 64)})
    assert "DecompressionBombError" in rejected["reason"][0]


def saved(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def grey(value, dtype):
    return Image.fromarray(np.full((20, 20), value, dtype))


def rotated_png(width, height):
    with Image.open(io.BytesIO(jpeg(width, height))) as image:
        return saved(image.transpose(Image.Transpose.ROTATE_90), "PNG")


TRANSPARENT_RED = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
PALETTE = Image.new("P", (20, 20), 1)
PALETTE.putpalette([0, 0, 0, 0, 100, 200])


@pytest.mark.parametrize(
    ("name", "content", "colour"),
    [
        ("16-bit.png", saved(grey(40_000, np.uint16), "PNG"), (156, 156, 156)),
        ("16-bit.tif", saved(grey(257, np.uint16), "TIFF"), (1, 1, 1)),
        ("32-bit.tif", saved(grey(65_535, np.int32), "TIFF"), (255, 255, 255)),
        ("transparent.png", saved(TRANSPARENT_RED, "PNG"), (255, 255, 255)),
        ("grey-alpha.png", saved(Image.new("LA", (20, 20), (10, 255)), "PNG"), (10, 10, 10)),
        ("palette.png", saved(PALETTE, "PNG"), (0, 100, 200)),
        ("palette.gif", saved(PALETTE, "GIF", transparency=1), (255, 255, 255)),
        ("black-white.png", saved(Image.new("1", (20, 20), 1), "PNG"), (255, 255, 255)),
        ("grey.png", saved(grey(77, np.uint8), "PNG"), (77, 77, 77)),
        ("print.tif", saved(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        ("misnamed.jpg", saved(Image.new("RGB", (20, 20), (1, 2, 3)), "PNG"), (1, 2, 3)),
    ],
)
def test_colours_are_preserved_in_every_mode_and_format(downscale, tmp_path, name, content, colour):
    manifest, _ = downscale({f"a/{name}": content})
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert (small.mode, small.getpixel((10, 10))) == ("RGB", colour)


@pytest.mark.parametrize(
    ("image", "reason"),
    [(grey(0.5, np.float32), "floating-point"), (grey(70_000, np.int32), "more than 16 bits")],
)
def test_grey_values_without_a_defined_white_are_rejected(downscale, image, reason):
    _, rejected = downscale({"a/rejected.tif": saved(image, "TIFF"), "a/good.jpg": jpeg(64, 64)})
    assert reason in rejected["reason"][0]


def test_first_frame_of_an_animation_is_used_and_counted(downscale, tmp_path):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    manifest, _ = downscale({"a/moving.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:])})
    assert manifest["frames"].tolist() == [3]
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert small.getpixel((10, 10)) == (255, 0, 0)


def tiff_of_overlapping_pages(pages):
    """Return a TIFF file in which the directory of each page begins 12 bytes after the previous one and overlaps it."""
    first = bytearray(saved(Image.new("L", (20, 20)), "TIFF"))
    first += bytes(len(first) % 2)
    start, count = len(first), pages + 3
    (directory,) = struct.unpack_from("<I", first, 4)
    (n_entries,) = struct.unpack_from("<H", first, directory)
    struct.pack_into("<I", first, directory + 2 + 12 * n_entries, start)
    skipped = struct.pack("<HHIHH", 0, 0, 0, 0, count)
    # width, height and position of the pixels, which every page shares
    shared = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((256, 20), (257, 20), (273, 8))]
    links = [struct.pack("<III", start + 12 * page if page < pages else 0, 0, 0) for page in range(1, pages + 1)]
    return bytes(first) + struct.pack("<H", count) + skipped * pages + b"".join([*shared, *links])


def test_pages_of_a_tiff_file_are_counted_up_to_a_limit(downscale):
    """Counting a thousand of them would take a million steps, and seconds; of ten thousand, minutes."""
    pages = [Image.new("L", (20, 20)) for _ in range(3)]
    manifest, _ = downscale(
        {
            "a/scan.tif": saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]),
            "a/hostile.tif": tiff_of_overlapping_pages(1000),
        }
    )
    assert manifest["frames"].tolist() == [MAX_PAGES, 3]


@settings(max_examples=40)
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    width=st.integers(16, 300),
    height=st.integers(16, 300),
    orientation=st.integers(1, 8),
    resize_side=st.sampled_from(["longer", "shorter"]),
)
def test_downscaled_size_for_every_mode_size_and_orientation(mode, width, height, orientation, resize_side):
    file_format = "TIFF" if mode == "CMYK" else "PNG"
    content = saved(Image.new(mode, (width, height)), file_format, exif=exif_of(orientation))
    keys = Images(max_side=100, resize_side=resize_side).model_dump()
    downscaled, source_size, frames = downscale_image(content, keys)
    upright = (height, width) if orientation >= 5 else (width, height)
    side = (max if resize_side == "longer" else min)(upright)
    expected = [length * min(1, 100 / side) for length in upright]
    assert (downscaled.mode, frames) == ("RGB", 1)
    assert source_size == upright
    assert np.abs(np.subtract(downscaled.size, expected)).max() <= 1


def test_rotated_uncompressed_tiff_is_not_scrambled(downscale, tmp_path):
    """Pillow 13 scrambles the image if it is opened by name."""
    gradient = Image.fromarray(np.repeat(np.arange(0, 240, 6, dtype=np.uint8)[None], 20, 0))
    manifest, _ = downscale({"a/rotated.tif": saved(gradient, "TIFF", exif=exif_of(QUARTER_TURN))})
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert small.size == (20, 40)
        assert np.array_equal(np.asarray(small)[:, 0, 0], np.arange(0, 240, 6))


def test_too_many_rejected_files_are_an_error_and_leave_no_output(downscale, tmp_path):
    with pytest.raises(EntrError, match=r"2 of 3 files .* are not usable images.* images\.max_rejected_fraction"):
        downscale({"a/good.jpg": jpeg(64, 64), "a/1.jpg": b"", "a/2.jpg": b""})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["originals"]


def test_raising_the_limit_is_not_advised_if_all_files_are_rejected(downscale):
    with pytest.raises(EntrError, match=r"2 of 2 files .* are not usable images.*\. Remove or replace them$"):
        downscale({"a/1.jpg": b"", "b/2.jpg": b""})


def test_disk_error_stops_the_job_instead_of_rejecting_the_file(downscale, monkeypatch):
    """The disk error is simulated."""
    read_bytes = Path.read_bytes

    def fail(path):
        if path.name == "2.jpg":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(EntrError, match=r"2\.jpg could not be read \(.*Input/output error.*\); check .* run again$"):
        downscale({"a/1.jpg": jpeg(64, 64), "b/2.jpg": jpeg(64, 64)})


def test_empty_dataset_is_an_error(downscale, tmp_path):
    (tmp_path / "originals" / "a").mkdir(parents=True)
    with pytest.raises(EntrError, match="contains no images; add a folder of images per class"):
        downscale({})


def test_class_without_usable_images_is_an_error(downscale):
    files = {f"a/{seed}.jpg": jpeg(64, 64, seed=seed) for seed in range(9)} | {"b/1.jpg": b"", "b/2.jpg": b""}
    with pytest.raises(
        EntrError, match=r"no image of the class 'b' .* the first is b/1\.jpg: Unid.* remove its folder"
    ):
        downscale(files)


def test_class_whose_images_all_contradict_another_class_is_an_error(downscale):
    files = {f"a/{seed}.jpg": jpeg(64, 64, seed=seed) for seed in range(9)}
    with pytest.raises(EntrError, match=r"no image of the class 'c' .* looks like a/0"):
        downscale(files | {"c/0.jpg": files["a/0.jpg"]})


def test_too_many_contradicting_labels_are_an_error(downscale):
    files = {f"{label}/{seed}.jpg": jpeg(64, 64, seed=seed) for label in "ab" for seed in range(4)}
    with pytest.raises(EntrError, match=r"8 of 10 files .* looks like .* images\.max_rejected_fraction"):
        downscale(files | {f"{label}/own.jpg": jpeg(64, 64, seed=ord(label)) for label in "ab"})


def test_uniform_images_of_different_grey_values_are_not_near_duplicates(downscale):
    black, white, near_black = (saved(Image.new("RGB", (64, 64), (grey,) * 3), "PNG") for grey in (0, 255, 1))
    manifest, rejected = downscale({"a/1.png": black, "a/2.png": near_black, "a/3.png": black, "b/1.png": white})
    assert rejected.empty
    assert manifest["group"].tolist() == [0, 1, 0, 2]


def with_byte(content, position, byte):
    return content[:position] + bytes([byte]) + content[position + 1 :]


@pytest.mark.parametrize(
    ("file_format", "position", "byte", "reason"),
    [
        ("TIFF", 9, 1, "TypeError: Missing dimensions"),
        ("DDS", 80, 0, "NotImplementedError: Unknown pixel format flags 0"),
    ],
)
def test_unexpected_error_of_pillow_rejects_only_that_file(downscale, file_format, position, byte, reason):
    mutant = with_byte(saved(Image.new("RGB", (40, 40), "red"), file_format), position, byte)
    _, rejected = downscale({"a/corrupt": mutant, "a/good.jpg": jpeg(64, 64)})
    assert rejected["reason"].tolist() == [reason]


def test_corrupt_exif_data_does_not_reject_an_image(downscale):
    exif = exif_of(QUARTER_TURN)
    exif[0x010F] = "maker"
    content = jpeg(80, 40, exif=exif)
    # the type of the first tag becomes an unknown one
    mutant = with_byte(content, content.index(b"Exif") + 17, 0)
    manifest, rejected = downscale({"a/rotated.jpg": mutant})
    assert rejected.empty
    assert manifest[["width", "height"]].to_numpy().tolist() == [[40, 80]]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_manifest_has_the_size_of_the_upright_original(downscale, file_format):
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 400, 3), np.uint8))
    manifest, _ = downscale({"a/1": saved(wide, file_format, exif=exif_of(QUARTER_TURN))})
    found = manifest[["source_width", "source_height", "width", "height"]].to_numpy().tolist()
    assert found == [[200, 400, 50, 100]]


def test_metadata_of_the_original_is_dropped(downscale, tmp_path):
    manifest, _ = downscale({"a/1.jpg": jpeg(200, 200, icc_profile=b"profile" * 99, comment=b"at home")})
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert small.info == {}


def test_eps_is_rejected_because_it_runs_a_program(downscale):
    _, rejected = downscale({"a/1.eps": saved(Image.new("RGB", (64, 64)), "EPS"), "a/good.jpg": jpeg(64, 64)})
    assert "cannot identify" in rejected["reason"][0]


def test_adobe_cmyk_jpeg_is_not_inverted(downscale, tmp_path):
    content = saved(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in content
    manifest, _ = downscale({"a/print.jpg": content})
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert np.abs(np.subtract(small.getpixel((10, 10)), (255, 0, 0))).max() < 10


def test_max_pixels_can_exceed_the_default_of_pillow(downscale):
    """Pillow's default limit of 179 million px is lower than the configured one."""
    large = saved(Image.new("1", (20_000, 10_000)), "PNG")
    manifest, _ = downscale({"a/large.png": large, "a/good.jpg": jpeg(64, 64)}, max_pixels=250_000_000)
    assert manifest["source_width"].max() == 20_000


def test_manifest_has_checksum_and_perceptual_hash(downscale):
    manifest, _ = downscale({"a/1.jpg": jpeg(64, 64), "b/2.jpg": jpeg(64, 64, seed=2)})
    assert manifest["sha256"].tolist() == [hashlib.sha256(jpeg(64, 64, seed=seed)).hexdigest() for seed in (0, 2)]
    hashes = [imagehash.hex_to_hash(phash) for phash in manifest["phash"]]
    assert hashes[0] - hashes[1] > 64
    assert hashes[0] == imagehash.phash(Image.open(io.BytesIO(jpeg(64, 64))), 16)


def test_near_duplicates_share_a_group_and_are_listed(downscale, tmp_path):
    manifest, rejected = downscale(
        {
            "a/1.jpg": jpeg(64, 64),
            "a/2.jpg": jpeg(64, 64),
            "a/3.jpg": jpeg(64, 64, seed=3),
            "a/4.png": rotated_png(64, 64),
        }
    )
    assert manifest["group"].tolist() == [0, 0, 1, 0]
    assert rejected.empty
    listed = pd.read_csv(tmp_path / "duplicates.csv")
    assert listed[["first", "second", "same_file"]].to_numpy().tolist() == [
        ["a/1.jpg", "a/2.jpg", True],
        ["a/1.jpg", "a/4.png", False],
        ["a/2.jpg", "a/4.png", False],
    ]


def test_near_duplicates_with_contradicting_labels_are_rejected(downscale, tmp_path):
    files = {
        "a/1.jpg": jpeg(64, 64),
        "a/2.jpg": jpeg(64, 64, seed=2),
        "b/1.png": rotated_png(64, 64),
        "b/3.jpg": jpeg(64, 64, seed=3),
    }
    manifest, rejected = downscale(files)
    assert manifest["source"].tolist() == ["a/2.jpg", "b/3.jpg"]
    assert manifest["group"].tolist() == [0, 1]
    assert rejected.to_numpy().tolist() == [
        ["a/1.jpg", "a", "contradiction", "looks like b/1.png, whose label is b (see images.max_hash_distance)"],
        ["b/1.png", "b", "contradiction", "looks like a/1.jpg, whose label is a (see images.max_hash_distance)"],
    ]
    assert {path.name for path in (tmp_path / "images").rglob("*.png")} == {"000001.png", "000003.png"}
    assert pd.read_csv(tmp_path / "duplicates.csv")[["first_label", "second_label"]].to_numpy().tolist() == [["a", "b"]]


DOWNSCALE = """
import json, sys
from entr.data.downscale import downscale_dataset
if __name__ == "__main__":
    originals, settings, outputs = sys.argv[1:]
    downscale_dataset(originals, json.loads(settings), **json.loads(outputs))
"""


def files_of_another_process(originals, folder, **environment):
    """Downscale in a separate process, and return the files that it writes, by name."""
    outputs = {name: str(path) for name, path in outputs_of_downscale(folder).items()}
    arguments = [str(originals), json.dumps(Images(max_rejected_fraction=0.5).model_dump()), json.dumps(outputs)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
    subprocess.run([sys.executable, "-c", DOWNSCALE, *arguments], env=environment, check=True)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_output_does_not_depend_on_file_order_directory_and_locale(tmp_path):
    names = [f"{label}/{name}.jpg" for label in ("a", "Ö") for name in ("1", "B", "ä", "z")]
    files = {name: jpeg(64, 48, seed=seed) for seed, name in enumerate(names)} | {"a/bad.jpg": b"<html>"}
    found = []
    for place, order in (("one", list(files)), ("two", list(reversed(files)))):
        for name in order:
            path = tmp_path / place / "originals" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
        (tmp_path / place / "out").mkdir()
        locale = {"LC_ALL": "C", "TZ": "Asia/Tokyo"} if place == "two" else {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
        found.append(files_of_another_process(tmp_path / place / "originals", tmp_path / place / "out", **locale))
    assert len(found[0]) == len(names) + 3
    assert found[0] == found[1]


def test_output_does_not_depend_on_the_number_of_processes(originals, tmp_path):
    shutil.copytree(originals, tmp_path / "originals")
    for label in image_folder.class_folders(tmp_path / "originals"):
        (label / "bad.png").write_bytes(b"<html>")
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        outputs = outputs_of_downscale(tmp_path / str(processes))
        settings = Images(max_side=64, max_rejected_fraction=0.5).model_dump()
        downscale_dataset(tmp_path / "originals", settings, processes, **outputs)
    assert len(pd.read_csv(tmp_path / "1" / "rejected.csv")) == 7
    for name in ("manifest", "rejected", "duplicates"):
        assert (tmp_path / "1" / f"{name}.csv").read_bytes() == (tmp_path / "2" / f"{name}.csv").read_bytes()


def test_file_names_with_special_characters_or_invalid_utf_8(downscale, tmp_path):
    strange = os.fsdecode(b"\xff\xfe\xe4.jpg")
    manifest, _ = downscale({"Äpfel & Birnen/1, 'x'.jpg": jpeg(64, 64), f"b/{strange}": jpeg(64, 64, seed=2)})
    assert manifest["label"].tolist() == ["b", "Äpfel & Birnen"]
    assert "\N{REPLACEMENT CHARACTER}.jpg" in manifest["source"][0]
    assert all((tmp_path / "images" / name).is_file() for name in manifest["image"])


def test_first_three_of_four_bands_are_used(downscale, tmp_path):
    bands = np.dstack([np.full((20, 20), value, np.uint8) for value in (10, 20, 30, 200)])
    manifest, _ = downscale({"a/aerial.tif": saved(Image.fromarray(bands, "RGBX"), "TIFF")})
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert small.getpixel((10, 10)) == (10, 20, 30)


def test_one_pixel_wide_image_keeps_its_width(downscale):
    manifest, _ = downscale({"a/line.png": saved(Image.new("RGB", (1, 5000)), "PNG")}, min_side=1)
    assert manifest[["width", "height"]].to_numpy().tolist() == [[1, 100]]


def test_archive_among_images_is_rejected(downscale):
    _, rejected = downscale({"a/more.zip": b"PK\x03\x04" + bytes(40), "a/good.jpg": jpeg(64, 64)})
    assert "cannot identify" in rejected["reason"][0]
