"""Local image folders, which are linked class by class."""

import pytest

from entr.config.schema import Dataset
from entr.data import image_folder
from entr.data.sources.folder import link_folder
from entr.jobs.errors import EntrError


@pytest.fixture
def link(tmp_path):
    """Link an image folder as the originals of a dataset, and return their folder."""

    def run(folder):
        entry = Dataset(source="folder", path=str(folder)).model_dump(mode="json")
        link_folder("mine", entry, tmp_path / "originals")
        return tmp_path / "originals"

    return run


def test_image_folder_is_linked_class_by_class(link, tmp_path):
    for name in ("Äpfel & Birnen/1.jpg", "b/deeper/1.jpg", "b/.DS_Store", "b/Thumbs.db", ".hidden/1.jpg"):
        path = tmp_path / "my images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    (tmp_path / "my images" / "notes.txt").write_text("")
    originals = link(tmp_path / "my images")
    found = [(label, path.name) for label, path in image_folder.labelled_files(originals)]
    assert found == [("b", "1.jpg"), ("Äpfel & Birnen", "1.jpg")]
    assert (originals / "b").is_symlink()


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        ([], "no subfolder with images"),
        (["one"], "only the class 'one'"),
        (["one", "two"], "the class 'one' of .* has no files"),
    ],
)
def test_folder_without_two_classes_with_files_is_an_error_and_leaves_no_output(link, tmp_path, classes, problem):
    (tmp_path / "images").mkdir()
    for name in classes:
        (tmp_path / "images" / name).mkdir()
    with pytest.raises(EntrError, match=rf"^datasets\.mine: .*{problem}"):
        link(tmp_path / "images")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_missing_folder_is_an_error(link, tmp_path):
    message = r"datasets\.mine\.path: the folder '.*nowhere' does not exist; correct the path"
    with pytest.raises(EntrError, match=message):
        link(tmp_path / "nowhere")
