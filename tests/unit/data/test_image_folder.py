"""Image folders: which files count, and when a folder has changed."""

import os

import pytest

from entr.data import image_folder
from entr.jobs.errors import EntrError


@pytest.fixture
def folder(tmp_path):
    for name in ("a/1.jpg", "b/deeper/1.jpg", "b/.DS_Store", "b/Thumbs.db", ".hidden/1.jpg", "__MACOSX/1.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


def test_hidden_files_and_folders_are_skipped(folder):
    found = [(label, path.relative_to(folder).as_posix()) for label, path in image_folder.labelled_files(folder)]
    assert found == [("a", "a/1.jpg"), ("b", "b/deeper/1.jpg")]


def test_each_file_counts_once_despite_links_to_parent_folders(folder):
    (folder / "b" / "loop").symlink_to(".")
    (folder / "b" / "deeper" / "up").symlink_to("..")
    (folder / "b" / "2.jpg").write_bytes(b"2")
    assert [path.name for label, path in image_folder.labelled_files(folder) if label == "b"] == ["2.jpg", "1.jpg"]


def test_unreadable_folder_is_an_error(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("deeper"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    # simulated, because tests may run as root, who can read every folder
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(EntrError, match=r"the folder .*deeper cannot be read \(Permission denied\)"):
        list(image_folder.labelled_files(folder))


def test_digest_depends_on_added_and_replaced_files(folder):
    before = image_folder.listing_digest(folder)
    assert image_folder.listing_digest(folder) == before
    (folder / "b" / "2.jpg").write_bytes(b"2")
    added = image_folder.listing_digest(folder)
    (folder / "b" / "2.jpg").write_bytes(b"3")
    os.utime(folder / "b" / "2.jpg", (1, 1))
    assert len({before, added, image_folder.listing_digest(folder)}) == 3


def test_digest_of_a_folder_with_a_dangling_link(folder):
    before = image_folder.listing_digest(folder)
    (folder / "b" / "gone.jpg").symlink_to("nowhere")
    assert image_folder.listing_digest(folder) != before


def test_digest_of_a_missing_folder(folder):
    assert image_folder.listing_digest(folder / "nowhere") == "absent"
