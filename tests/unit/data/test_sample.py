import shutil

import pytest

from entr.config.schema import Images
from entr.data.sample import downscale_sample
from entr.jobs.errors import EntrError

SETTINGS = Images(max_side=32).model_dump()


def test_sample_is_spread_over_the_classes_and_speaks_for_all_files(originals, tmp_path):
    sample = downscale_sample(originals, SETTINGS, 20, 1, tmp_path)
    assert sample.files == 70
    assert len(sample.manifest) == 18
    assert sample.manifest["label"].nunique() == 7
    assert sample.usable_fraction == 1
    assert sample.seconds_per_file > 0
    assert sample.pixels.stat().st_size > 18 * 32 * 32 * 3


def test_unusable_files_are_counted(originals, tmp_path):
    images, folder = tmp_path / "images", tmp_path / "sample"
    label = next(path for path in sorted(originals.iterdir()) if path.is_dir())
    shutil.copytree(label, images / "a")
    for name in ("1", "2"):
        (images / "a" / f"{name}.png").write_text("not an image")
    folder.mkdir()
    sample = downscale_sample(images, SETTINGS, 100, 1, folder)
    assert (sample.files, len(sample.manifest)) == (12, 10)
    assert sample.usable_fraction == pytest.approx(10 / 12)


def test_folder_without_usable_images_is_an_error(tmp_path):
    images, folder = tmp_path / "images", tmp_path / "sample"
    (images / "a").mkdir(parents=True)
    (images / "a" / "1.png").write_text("not an image")
    folder.mkdir()
    with pytest.raises(EntrError, match="has no usable images"):
        downscale_sample(images, SETTINGS, 100, 1, folder)
