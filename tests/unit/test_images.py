import io
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from entr import images
from entr.config import Images
from entr.guards import EntrError


def jpeg(width, height, **options):
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
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
        results = [tmp_path / name for name in ("images", "manifest.csv", "rejected.csv")]
        images.downscale(tmp_path / "originals", *results, keys)
        return [pd.read_csv(path) for path in results[1:]]

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


@settings(max_examples=40, deadline=None)
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


def test_pixels_lie_in_the_order_of_the_manifest(downscale, tmp_path):
    manifest, _ = downscale({"a/wide.jpg": jpeg(40, 20), "b/tall.jpg": jpeg(20, 30)})
    images.pack(tmp_path / "images", tmp_path / "manifest.csv", tmp_path / "pixels.npy")
    pixels = np.load(tmp_path / "pixels.npy")
    assert pixels.shape == (2, 30, 40, 3)
    for row, line in manifest.iterrows():
        with Image.open(tmp_path / "images" / line["image"]) as small:
            assert np.array_equal(pixels[row, : line["height"], : line["width"]], np.asarray(small))
