import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from entr import images
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
        options = {"max_size": 100, "reduce_by": "longer", "max_rejected": 0.5} | changes
        results = [tmp_path / name for name in ("images", "manifest.csv", "rejected.csv")]
        images.downscale(tmp_path / "originals", *results, **options)
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


def test_too_many_bad_files_stop_the_run_and_leave_nothing(downscale, tmp_path):
    with pytest.raises(EntrError, match=r"2 of 3 files .* images\.max_rejected"):
        downscale({"a/good.jpg": jpeg(64, 64), "a/1.jpg": b"", "a/2.jpg": b""})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["originals"]


def test_no_files_at_all_are_an_error(downscale, tmp_path):
    (tmp_path / "originals" / "a").mkdir(parents=True)
    with pytest.raises(EntrError, match="0 of 0 files"):
        downscale({})


def test_pixels_lie_in_the_order_of_the_manifest(downscale, tmp_path):
    manifest, _ = downscale({"a/wide.jpg": jpeg(40, 20), "b/tall.jpg": jpeg(10, 30)})
    images.pack(tmp_path / "images", tmp_path / "manifest.csv", tmp_path / "pixels.npy")
    pixels = np.load(tmp_path / "pixels.npy")
    assert pixels.shape == (2, 30, 40, 3)
    for row, line in manifest.iterrows():
        with Image.open(tmp_path / "images" / line["image"]) as small:
            assert np.array_equal(pixels[row, : line["height"], : line["width"]], np.asarray(small))
