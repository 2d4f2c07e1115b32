import os

import pytest

from entr import sources
from entr.guards import EntrError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "my images"
    for name in ("Äpfel & Birnen", "b/deeper", ".hidden", "__MACOSX"):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.jpg").write_bytes(b"1")
    (folder / "b" / ".DS_Store").write_bytes(b"")
    (folder / "b" / "Thumbs.db").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    return folder


def fetch(folder, destination):
    sources.fetch("mine", {"source": "folder", "path": str(folder)}, destination)


def test_a_folder_of_yours_is_linked_class_by_class(folder, tmp_path):
    fetch(folder, tmp_path / "originals")
    found = [(label, path.name) for label, path in sources.files(tmp_path / "originals")]
    assert found == [("b", "1.jpg"), ("Äpfel & Birnen", "1.jpg")]
    assert (tmp_path / "originals" / "b").is_symlink()


@pytest.mark.parametrize(("classes", "problem"), [([], "no sub-folder"), (["one"], "only the class 'one'")])
def test_a_folder_without_two_classes_is_refused_and_nothing_is_left(tmp_path, classes, problem):
    (tmp_path / "images").mkdir()
    for name in classes:
        (tmp_path / "images" / name).mkdir()
    with pytest.raises(EntrError, match=problem):
        fetch(tmp_path / "images", tmp_path / "originals")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(EntrError, match=r"no folder '.*nowhere'; correct the key path"):
        fetch(tmp_path / "nowhere", tmp_path / "originals")


def test_the_digest_of_a_folder_sees_what_was_added_and_not_what_was_touched(folder):
    before = sources.listing_digest(folder)
    os.utime(folder / "b" / "deeper" / "1.jpg", (0, 0))
    assert sources.listing_digest(folder) == before
    (folder / "b" / "2.jpg").write_bytes(b"2")
    assert sources.listing_digest(folder) != before


def test_the_digest_of_no_folder_says_so(tmp_path):
    assert sources.listing_digest(tmp_path / "nowhere") == "absent"


def test_generated_images_fill_seven_classes(tmp_path):
    sources.fetch("m", {"source": "generated", "images_per_class": 2, "seed": 3}, tmp_path / "originals", 2)
    assert len(sources.class_folders(tmp_path / "originals")) == 7
    assert len(list(sources.files(tmp_path / "originals"))) == 14
