import os

import pytest

from entr import folders, micrographs, sources
from entr.config import Dataset
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


def fetch(folder, destination, **expected):
    sources.link("mine", Dataset(source="folder", path=str(folder), **expected).model_dump(mode="json"), destination)


def test_a_folder_of_yours_is_linked_class_by_class(folder, tmp_path):
    fetch(folder, tmp_path / "originals")
    found = [(label, path.name) for label, path in folders.files(tmp_path / "originals")]
    assert found == [("b", "1.jpg"), ("Äpfel & Birnen", "1.jpg")]
    assert (tmp_path / "originals" / "b").is_symlink()


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        ([], "no sub-folder"),
        (["one"], "only the class 'one'"),
        (["one", "two"], "the class 'one' of .* has no files"),
    ],
)
def test_a_folder_without_two_classes_is_refused_and_nothing_is_left(tmp_path, classes, problem):
    (tmp_path / "images").mkdir()
    for name in classes:
        (tmp_path / "images" / name).mkdir()
    with pytest.raises(EntrError, match=problem):
        fetch(tmp_path / "images", tmp_path / "originals")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(EntrError, match=r"datasets\.mine\.path: there is no folder '.*nowhere'; correct the path"):
        fetch(tmp_path / "nowhere", tmp_path / "originals")


def test_the_digest_of_a_folder_sees_what_was_added_and_what_was_replaced(folder):
    before = folders.listing_digest(folder)
    assert folders.listing_digest(folder) == before
    (folder / "b" / "2.jpg").write_bytes(b"2")
    added = folders.listing_digest(folder)
    (folder / "b" / "2.jpg").write_bytes(b"3")
    os.utime(folder / "b" / "2.jpg", (1, 1))
    assert len({before, added, folders.listing_digest(folder)}) == 3


def test_a_link_to_nothing_does_not_stop_planning(folder):
    before = folders.listing_digest(folder)
    (folder / "b" / "gone.jpg").symlink_to("nowhere")
    assert folders.listing_digest(folder) != before


def test_an_image_counts_once_whatever_links_lead_to_it(folder):
    (folder / "b" / "loop").symlink_to(".")
    (folder / "b" / "deeper" / "up").symlink_to("..")
    (folder / "b" / "2.jpg").write_bytes(b"2")
    assert [path.name for label, path in folders.files(folder) if label == "b"] == ["2.jpg", "1.jpg"]


def test_a_folder_that_cannot_be_read_is_said(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("deeper"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    # root, as whom tests may run, can read all
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(EntrError, match=r"the folder .*deeper cannot be read \(Permission denied\)"):
        list(folders.files(folder))


def test_the_digest_of_no_folder_says_so(tmp_path):
    assert folders.listing_digest(tmp_path / "nowhere") == "absent"


def test_generated_images_fill_seven_classes(tmp_path):
    micrographs.fetch(
        "m", Dataset(source="generated", images_per_class=2).model_dump(mode="json"), tmp_path / "originals", 2
    )
    assert len(folders.class_folders(tmp_path / "originals")) == 7
    assert len(list(folders.files(tmp_path / "originals"))) == 14


def test_classes_that_differ_only_in_case_are_refused(folder, tmp_path):
    (folder / "B").mkdir()
    (folder / "B" / "1.jpg").write_bytes(b"1")
    with pytest.raises(EntrError, match="the classes 'B' and 'b' differ only in case"):
        fetch(folder, tmp_path / "originals")


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "ä" * 128])
def test_what_no_folder_can_be_called_names_no_class(name):
    with pytest.raises(ValueError, match="cannot name a class"):
        sources.checked_label(name)
    assert sources.checked_label("ä" * 127) == "ä" * 127


def test_a_class_whose_name_is_no_text_is_refused(folder, tmp_path):
    strange = folder / os.fsdecode(b"\xff")
    strange.mkdir()
    (strange / "1.jpg").write_bytes(b"1")
    with pytest.raises(EntrError, match=r"the name of the class '\\udcff' .* is no UTF-8; rename its folder"):
        fetch(folder, tmp_path / "originals")


def test_a_folder_of_yours_may_have_other_numbers_than_the_paper_and_this_is_said(folder, tmp_path, caplog):
    fetch(folder, tmp_path / "originals", images=1460, classes=7)
    assert "datasets.mine: 2 images found, 1460 expected" in caplog.text
    assert "datasets.mine: 2 classes found, 7 expected" in caplog.text
