"""Source `folder`: a local image folder, which is linked instead of copied."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entr.data.image_folder import class_folders
from entr.data.sources.staging import staged_originals
from entr.jobs.errors import EntrError


def link_folder(name: str, entry: Mapping[str, Any], destination: str | Path) -> None:
    """Link the class folders of a local image folder; its files are neither copied nor modified.

    Parameters
    ----------
    name : str
        Name of the dataset, for messages.
    entry : mapping
        Its entry in the catalogue; ``path`` is the image folder.
    destination : path
        Folder to create, with one symbolic link per class.

    Raises
    ------
    EntrError
        If the folder does not exist, and in the cases of `staged_originals`.
    """
    source = Path(entry["path"])
    if not source.is_dir():
        raise EntrError(f"datasets.{name}.path: the folder {entry['path']!r} does not exist; correct the path")
    with staged_originals(name, entry, destination) as folder:
        for path in class_folders(source):
            (folder / path.name).symlink_to(path.resolve(), target_is_directory=True)
