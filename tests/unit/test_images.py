import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib

import imagehash
import numpy as np
import pandas as pd
import pytest
from conftest import outputs_of_downscale
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from entr import folders, images
from entr.config import Images
from entr.guards import EntrError


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
        keys = Images(max_size=100, max_rejected=0.5).model_dump() | changes
        outputs = outputs_of_downscale(tmp_path)
        images.downscale(tmp_path / "originals", keys, **outputs)
        return [pd.read_csv(outputs[name]) for name in ("manifest", "rejected")]

    return run


def test_the_longer_side_is_reduced_and_small_images_stay(downscale):
    manifest, _ = downscale({"a/wide.jpg": jpeg(400, 200), "a/small.jpg": jpeg(30, 40), "b/tall.jpg": jpeg(100, 300)})
    found = manifest.set_index("source")[["width", "height"]].T.to_dict("list")
    assert found == {"a/wide.jpg": [100, 50], "a/small.jpg": [30, 40], "b/tall.jpg": [33, 100]}


def test_the_shorter_side_can_be_reduced_instead(downscale):
    manifest, _ = downscale({"a/wide.jpg": jpeg(400, 200)}, reduce_by="shorter")
    assert manifest[["width", "height"]].to_numpy().tolist() == [[200, 100]]


def test_the_camera_s_orientation_is_applied(downscale, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    manifest, _ = downscale({"a/turned.jpg": jpeg(80, 40, exif=exif)})
    assert manifest[["width", "height"]].to_numpy().tolist() == [[40, 80]]
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert (small.mode, small.size) == ("RGB", (40, 80))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "cannot identify"), (b"<html>", "cannot identify"), (jpeg(64, 64)[:-800], "truncated")],
    ids=["empty", "web page", "cut short"],
)
def test_a_file_that_is_no_image_is_left_out_with_its_reason(downscale, content, reason):
    manifest, rejected = downscale({"a/good.jpg": jpeg(64, 64), "a/bad.jpg": content})
    assert manifest["source"].tolist() == ["a/good.jpg"]
    assert rejected["source"].tolist() == ["a/bad.jpg"]
    assert reason in rejected["reason"][0]


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (15, 400, "15 x 400 px are less than images.min_size"),
        (200, 200, "200 x 200 px are more than images.max_pixels"),
    ],
)
def test_an_image_that_is_too_small_or_too_large_is_left_out(downscale, width, height, reason):
    _, rejected = downscale({"a/odd.jpg": jpeg(width, height), "a/good.jpg": jpeg(64, 64)}, max_pixels=30_000)
    assert rejected["reason"].tolist() == [f"ValueError: {reason}"]


def test_a_small_file_that_claims_to_be_huge_is_not_read(downscale):
    """The header alone says 30000 x 30000 px; nothing of the pixels is in the file."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    ]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    _, rejected = downscale({"a/bomb.png": bomb, "a/good.jpg": jpeg(64, 64)})
    assert "DecompressionBombError" in rejected["reason"][0]


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grey(value, kind):
    return Image.fromarray(np.full((20, 20), value, kind))


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
def test_every_kind_of_image_keeps_its_colour(downscale, tmp_path, name, content, colour):
    manifest, _ = downscale({f"a/{name}": content})
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert (small.mode, small.getpixel((10, 10))) == ("RGB", colour)


@pytest.mark.parametrize(
    ("image", "reason"),
    [(grey(0.5, np.float32), "floating-point"), (grey(70_000, np.int32), "more than 16 bits")],
)
def test_grey_values_without_a_known_white_are_left_out(downscale, image, reason):
    _, rejected = downscale({"a/odd.tif": saved(image, "TIFF"), "a/good.jpg": jpeg(64, 64)})
    assert reason in rejected["reason"][0]


def test_the_first_frame_of_an_animation_is_used_and_said(downscale, tmp_path):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    manifest, _ = downscale({"a/moving.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:])})
    assert manifest["frames"].tolist() == [3]
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert small.getpixel((10, 10)) == (255, 0, 0)


@settings(max_examples=40)
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    width=st.integers(16, 300),
    height=st.integers(16, 300),
    orientation=st.integers(1, 8),
    reduce_by=st.sampled_from(["longer", "shorter"]),
)
def test_sizes_are_right_for_every_mode_size_and_orientation(mode, width, height, orientation, reduce_by):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.new(mode, (width, height)), "TIFF" if mode == "CMYK" else "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        small = images._small(image, 100, reduce_by)
    upright = (height, width) if orientation >= 5 else (width, height)
    side = (max if reduce_by == "longer" else min)(upright)
    expected = [length * min(1, 100 / side) for length in upright]
    assert small.mode == "RGB"
    assert np.abs(np.subtract(small.size, expected)).max() <= 1


def test_an_uncompressed_tiff_that_lies_on_its_side_is_not_scrambled(downscale, tmp_path):
    """Pillow 13 scrambles it when it is opened by its name."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    lying = Image.fromarray(np.repeat(np.arange(0, 240, 6, dtype=np.uint8)[None], 20, 0))
    manifest, _ = downscale({"a/lying.tif": saved(lying, "TIFF", exif=exif)})
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert small.size == (20, 40)
        assert np.array_equal(np.asarray(small)[:, 0, 0], np.arange(0, 240, 6))


def test_too_many_bad_files_stop_the_run_and_leave_nothing(downscale, tmp_path):
    with pytest.raises(EntrError, match=r"2 of 3 files .* images\.max_rejected"):
        downscale({"a/good.jpg": jpeg(64, 64), "a/1.jpg": b"", "a/2.jpg": b""})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["originals"]


def test_no_files_at_all_are_an_error(downscale, tmp_path):
    (tmp_path / "originals" / "a").mkdir(parents=True)
    with pytest.raises(EntrError, match="0 of 0 files"):
        downscale({})


def test_a_class_of_which_no_file_is_an_image_stops_the_run(downscale):
    files = {f"a/{seed}.jpg": jpeg(64, 64, seed=seed) for seed in range(9)} | {"b/1.jpg": b"", "b/2.jpg": b""}
    with pytest.raises(
        EntrError, match=r"no image of the class 'b' .* the first is b/1\.jpg: Unid.* remove its folder"
    ):
        downscale(files)


def test_a_class_whose_images_all_lie_in_another_too_stops_the_run(downscale):
    files = {f"a/{seed}.jpg": jpeg(64, 64, seed=seed) for seed in range(9)}
    with pytest.raises(EntrError, match=r"no image of the class 'c' .* looks like a/0"):
        downscale(files | {"c/0.jpg": files["a/0.jpg"]})


def test_too_many_contradictions_stop_the_run(downscale):
    files = {f"{label}/{seed}.jpg": jpeg(64, 64, seed=seed) for label in "ab" for seed in range(4)}
    with pytest.raises(EntrError, match=r"8 of 10 files .* looks like .* images\.max_rejected"):
        downscale(files | {f"{label}/own.jpg": jpeg(64, 64, seed=ord(label)) for label in "ab"})


def test_flat_images_of_two_classes_do_not_look_alike(downscale):
    black, white, near = (saved(Image.new("RGB", (64, 64), (grey,) * 3), "PNG") for grey in (0, 255, 1))
    manifest, rejected = downscale({"a/1.png": black, "a/2.png": near, "a/3.png": black, "b/1.png": white})
    assert rejected.empty
    assert manifest["group"].tolist() == [0, 1, 0, 2]


def with_byte(content, position, byte):
    return content[:position] + bytes([byte]) + content[position + 1 :]


@pytest.mark.parametrize(
    ("kind", "position", "byte", "reason"),
    [
        ("TIFF", 9, 1, "TypeError: Missing dimensions"),
        ("DDS", 80, 0, "NotImplementedError: Unknown pixel format flags 0"),
    ],
)
def test_a_file_over_which_pillow_stumbles_does_not_stop_the_others(downscale, kind, position, byte, reason):
    mutant = with_byte(saved(Image.new("RGB", (40, 40), "red"), kind), position, byte)
    _, rejected = downscale({"a/odd": mutant, "a/good.jpg": jpeg(64, 64)})
    assert rejected["reason"].tolist() == [reason]


def test_damaged_exif_loses_no_image(downscale):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif[0x0112] = 6
    content = jpeg(80, 40, exif=exif)
    # the type of the first tag becomes an unknown one
    mutant = with_byte(content, content.index(b"Exif") + 17, 0)
    manifest, rejected = downscale({"a/turned.jpg": mutant})
    assert rejected.empty
    assert manifest[["width", "height"]].to_numpy().tolist() == [[40, 80]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_size_of_an_original_is_that_of_the_upright_image(downscale, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 400, 3), np.uint8))
    manifest, _ = downscale({"a/1": saved(lying, kind, exif=exif)})
    found = manifest[["source_width", "source_height", "width", "height"]].to_numpy().tolist()
    assert found == [[200, 400, 50, 100]]


def test_nothing_but_pixels_is_kept_of_an_original(downscale, tmp_path):
    manifest, _ = downscale({"a/1.jpg": jpeg(200, 200, icc_profile=b"profile" * 99, comment=b"at home")})
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert small.info == {}


def test_a_format_that_would_run_a_program_is_not_read(downscale):
    _, rejected = downscale({"a/1.eps": saved(Image.new("RGB", (64, 64)), "EPS"), "a/good.jpg": jpeg(64, 64)})
    assert "cannot identify" in rejected["reason"][0]


def test_pixels_lie_in_the_order_of_the_manifest(downscale, tmp_path):
    manifest, _ = downscale({"a/wide.jpg": jpeg(40, 20), "b/tall.jpg": jpeg(20, 30)})
    images.pack(tmp_path / "images", tmp_path / "manifest.csv", tmp_path / "pixels.npy")
    pixels = np.load(tmp_path / "pixels.npy")
    assert pixels.shape == (2, 30, 40, 3)
    for row, line in manifest.iterrows():
        with Image.open(tmp_path / "images" / line["image"]) as small:
            assert np.array_equal(pixels[row, : line["height"], : line["width"]], np.asarray(small))


def test_a_print_of_adobe_s_kind_is_not_inverted(downscale, tmp_path):
    content = saved(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in content
    manifest, _ = downscale({"a/print.jpg": content})
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert np.abs(np.subtract(small.getpixel((10, 10)), (255, 0, 0))).max() < 10


def test_a_larger_limit_admits_larger_images(downscale):
    """Pillow's own limit of 179 million px would refuse what the configuration allows."""
    large = saved(Image.new("1", (20_000, 10_000)), "PNG")
    manifest, _ = downscale({"a/large.png": large, "a/good.jpg": jpeg(64, 64)}, max_pixels=250_000_000)
    assert manifest["source_width"].max() == 20_000


def test_the_manifest_tells_each_image_by_its_bytes_and_its_look(downscale):
    manifest, _ = downscale({"a/1.jpg": jpeg(64, 64), "b/2.jpg": jpeg(64, 64, seed=2)})
    assert manifest["sha256"].tolist() == [hashlib.sha256(jpeg(64, 64, seed=seed)).hexdigest() for seed in (0, 2)]
    hashes = [imagehash.hex_to_hash(digits) for digits in manifest["phash"]]
    assert hashes[0] - hashes[1] > 64
    assert hashes[0] == imagehash.phash(Image.open(io.BytesIO(jpeg(64, 64))), 16)


def test_copies_share_a_group_and_are_listed(downscale, tmp_path):
    manifest, rejected = downscale(
        {"a/1.jpg": jpeg(64, 64), "a/2.jpg": jpeg(64, 64), "a/3.jpg": jpeg(64, 64, seed=3), "a/4.png": turned(64, 64)}
    )
    assert manifest["group"].tolist() == [0, 0, 1, 0]
    assert rejected.empty
    listed = pd.read_csv(tmp_path / "duplicates.csv")
    assert listed[["first", "second", "same_file"]].to_numpy().tolist() == [
        ["a/1.jpg", "a/2.jpg", True], ["a/1.jpg", "a/4.png", False], ["a/2.jpg", "a/4.png", False]
    ]  # fmt: skip


def turned(width, height):
    with Image.open(io.BytesIO(jpeg(width, height))) as image:
        return saved(image.transpose(Image.Transpose.ROTATE_90), "PNG")


def test_copies_with_different_labels_are_left_out_and_said(downscale, tmp_path):
    files = {
        "a/1.jpg": jpeg(64, 64),
        "a/2.jpg": jpeg(64, 64, seed=2),
        "b/1.png": turned(64, 64),
        "b/3.jpg": jpeg(64, 64, seed=3),
    }
    manifest, rejected = downscale(files)
    assert manifest["source"].tolist() == ["a/2.jpg", "b/3.jpg"]
    assert manifest["group"].tolist() == [0, 1]
    assert rejected.to_numpy().tolist() == [
        ["a/1.jpg", "a", "contradiction", "looks like b/1.png, whose label is b (by images.max_distance)"],
        ["b/1.png", "b", "contradiction", "looks like a/1.jpg, whose label is a (by images.max_distance)"],
    ]
    assert {path.name for path in (tmp_path / "images").rglob("*.png")} == {"000001.png", "000003.png"}
    assert pd.read_csv(tmp_path / "duplicates.csv")[["first_label", "second_label"]].to_numpy().tolist() == [["a", "b"]]


DOWNSCALE = """
import json, sys
from entr import images
if __name__ == "__main__":
    originals, settings, outputs = sys.argv[1:]
    images.downscale(originals, json.loads(settings), **json.loads(outputs))
"""


def downscaled_by_another(originals, folder, **environment):
    """Return what a process of its own writes, by name."""
    outputs = {name: str(path) for name, path in outputs_of_downscale(folder).items()}
    arguments = [str(originals), json.dumps(Images(max_rejected=0.5).model_dump()), json.dumps(outputs)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
    subprocess.run([sys.executable, "-c", DOWNSCALE, *arguments], env=environment, check=True)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_images_in_another_order_and_place_give_the_same_files(tmp_path):
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
        found.append(downscaled_by_another(tmp_path / place / "originals", tmp_path / place / "out", **locale))
    assert len(found[0]) == len(names) + 3
    assert found[0] == found[1]


def test_the_number_of_processes_changes_nothing(originals, tmp_path):
    shutil.copytree(originals, tmp_path / "originals")
    for label in folders.class_folders(tmp_path / "originals"):
        (label / "bad.png").write_bytes(b"<html>")
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        outputs = outputs_of_downscale(tmp_path / str(processes))
        settings = Images(max_size=64, max_rejected=0.5).model_dump()
        images.downscale(tmp_path / "originals", settings, processes, **outputs)
    assert len(pd.read_csv(tmp_path / "1" / "rejected.csv")) == 7
    for name in ("manifest", "rejected", "duplicates"):
        assert (tmp_path / "1" / f"{name}.csv").read_bytes() == (tmp_path / "2" / f"{name}.csv").read_bytes()


def test_names_of_any_kind_are_kept(downscale, tmp_path):
    strange = os.fsdecode(b"\xff\xfe\xe4.jpg")
    manifest, _ = downscale({"Äpfel & Birnen/1, 'x'.jpg": jpeg(64, 64), f"b/{strange}": jpeg(64, 64, seed=2)})
    assert manifest["label"].tolist() == ["b", "Äpfel & Birnen"]
    assert "\N{REPLACEMENT CHARACTER}.jpg" in manifest["source"][0]
    images.pack(tmp_path / "images", tmp_path / "manifest.csv", tmp_path / "pixels.npy")
    assert len(np.load(tmp_path / "pixels.npy")) == 2


def test_an_image_of_four_bands_keeps_its_first_three(downscale, tmp_path):
    bands = np.dstack([np.full((20, 20), value, np.uint8) for value in (10, 20, 30, 200)])
    manifest, _ = downscale({"a/aerial.tif": saved(Image.fromarray(bands, "RGBX"), "TIFF")})
    with Image.open(tmp_path / "images" / manifest["image"][0]) as small:
        assert small.getpixel((10, 10)) == (10, 20, 30)


def test_the_thinnest_image_keeps_a_pixel(downscale):
    manifest, _ = downscale({"a/line.png": saved(Image.new("RGB", (1, 5000)), "PNG")}, min_size=1)
    assert manifest[["width", "height"]].to_numpy().tolist() == [[1, 100]]


def test_an_archive_among_images_is_left_out(downscale):
    _, rejected = downscale({"a/more.zip": b"PK\x03\x04" + bytes(40), "a/good.jpg": jpeg(64, 64)})
    assert "cannot identify" in rejected["reason"][0]
