"""Packing of downscaled images into one array."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from entr.data.pack import pack_images
from entr.jobs.errors import EntrError


def write_images(folder, sizes):
    """Write random images of some sizes, by name, and their manifest; return their pixels."""
    rng = np.random.default_rng(0)
    pixels = {name: rng.integers(0, 256, (height, width, 3), np.uint8) for name, (width, height) in sizes.items()}
    for name, array in pixels.items():
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    rows = [
        {"image": name, "label": name.split("/")[0], "width": width, "height": height}
        for name, (width, height) in sizes.items()
    ]
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return list(pixels.values())


def packed(folder):
    pack_images(folder / "images", folder / "manifest.csv", folder / "pixels.npy")
    return np.load(folder / "pixels.npy")


def test_packed_images_have_the_order_of_the_manifest(tmp_path):
    images = write_images(tmp_path, {"b/wide.png": (40, 20), "a/tall.png": (20, 30)})
    pixels = packed(tmp_path)
    assert (pixels.shape, pixels.dtype) == ((2, 30, 40, 3), np.uint8)
    for canvas, image in zip(pixels, images, strict=True):
        height, width = image.shape[:2]
        assert np.array_equal(canvas[:height, :width], image)
        assert canvas.sum() == image.sum()


def test_partial_file_of_a_killed_job_is_removed(tmp_path):
    write_images(tmp_path, {"a/1.png": (4, 4)})
    partial_file = tmp_path / ".pixels.npy.x1y2z3.part"
    partial_file.write_bytes(b"half")
    packed(tmp_path)
    assert not partial_file.exists()


def test_names_of_classes_may_look_like_missing_values_or_numbers(tmp_path):
    images = write_images(tmp_path, {"nan/1.png": (4, 4), "3/1.png": (4, 4), "Äpfel & Birnen/1, 'x'.png": (4, 4)})
    assert np.array_equal(packed(tmp_path), images)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (",4,3\n", ",4,99999999\n", r"the image 'a/1\.png' cannot be used: it has another size"),
        ("a/1.png", "a/2.png", r"the image 'a/2\.png' cannot be used: .*No such file"),
        ("height", "tall", "the column height is missing"),
        ("a/1.png,a,4,3\n", "", "it has no rows"),
    ],
)
def test_manifest_that_does_not_match_the_images_is_damaged(tmp_path, before, after, problem):
    write_images(tmp_path, {"a/1.png": (4, 3)})
    manifest = tmp_path / "manifest.csv"
    content = manifest.read_text()
    assert before in content
    manifest.write_text(content.replace(before, after))
    with pytest.raises(EntrError, match=rf"manifest\.csv is damaged \({problem}.*\); delete it and run again"):
        packed(tmp_path)
    assert not (tmp_path / "pixels.npy").exists()


def test_damaged_image_is_named(tmp_path):
    write_images(tmp_path, {"a/1.png": (40, 30)})
    image = tmp_path / "images" / "a" / "1.png"
    image.write_bytes(image.read_bytes()[:-100])
    with pytest.raises(EntrError, match=r"the image 'a/1\.png' cannot be used: "):
        packed(tmp_path)
