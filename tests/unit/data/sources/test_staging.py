"""Checks of the originals that all sources share."""

import os

import pytest

from entr.config.schema import Dataset
from entr.data.sources import staging
from entr.jobs.errors import EntrError


@pytest.fixture
def stage(tmp_path):
    """Stage some files as the originals of a dataset, and return their folder."""

    def run(files=("a/1.jpg", "b/1.jpg"), **expected):
        entry = Dataset(source="folder", path="mine", **expected).model_dump(mode="json")
        with staging.staged_originals("mine", entry, tmp_path / "originals") as folder:
            for name in files:
                path = folder / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"1")
        return tmp_path / "originals"

    return run


def test_complete_originals_replace_the_download_cache(stage, tmp_path):
    (tmp_path / "download").mkdir()
    assert sorted(path.name for path in stage().iterdir()) == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["originals"]


def test_failed_check_leaves_no_originals_and_keeps_the_download_cache(stage, tmp_path):
    (tmp_path / "download").mkdir()
    with pytest.raises(EntrError, match="only the class 'a'"):
        stage(["a/1.jpg"])
    assert [path.name for path in tmp_path.iterdir()] == ["download"]


def test_classes_that_differ_only_in_case_are_an_error(stage):
    with pytest.raises(EntrError, match="the classes 'B' and 'b' differ only in case"):
        stage(["B/1.jpg", "b/1.jpg"])


def test_class_name_that_is_not_utf_8_is_an_error(stage):
    with pytest.raises(EntrError, match=r"the name of the class '\\udcff' .* is not UTF-8; rename its folder"):
        stage(["b/1.jpg", os.fsdecode(b"\xff/1.jpg")])


def test_unexpected_numbers_of_your_own_images_are_a_warning(stage, caplog):
    stage(images=1460, classes=7)
    assert "datasets.mine: 2 images found, 1460 expected; this is allowed for your own data" in caplog.text
    assert "datasets.mine: 2 classes found, 7 expected; this is allowed for your own data" in caplog.text


@pytest.mark.parametrize("label", ["", ".hidden", "a/b", "ä" * 128])
def test_class_name_that_is_not_a_valid_folder_name(label):
    with pytest.raises(ValueError, match="is not a valid folder name"):
        staging.validate_label(label)


def test_longest_valid_class_name():
    assert staging.validate_label("ä" * 127) == "ä" * 127
