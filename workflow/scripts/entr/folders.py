"""Folders of labelled images: one sub-folder a class."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path


def class_folders(folder: Path) -> list[Path]:
    """Return the sub-folders of a folder, hidden ones apart, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the class and path of each file below a folder of classes, sorted; hidden files apart."""
    for class_folder in class_folders(folder):
        for parent, folders, names in os.walk(class_folder, followlinks=True):
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            yield from ((class_folder.name, Path(parent, name)) for name in sorted(names) if not is_hidden(name))


def is_hidden(name: str) -> bool:
    """Tell what operating systems leave between a user's images."""
    return name.startswith((".", "__MACOSX")) or name in {"Thumbs.db", "desktop.ini"}


def readable(name: str) -> str:
    """Return a file's name as text; bytes that are no UTF-8 become the replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")


def listing_digest(path: str | Path) -> str:
    """Digest the names and sizes of the files in a folder of classes.

    A parameter of the rule that reads the folder, so that an added or removed image is seen
    while a touched one is not.

    Returns
    -------
    str
        Hexadecimal digits, or ``"absent"`` when there is no such folder: the run that needs it says so.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return "absent"
    digest = hashlib.sha256()
    for _, file in files(folder):
        name = os.fsencode(file.relative_to(folder).as_posix())
        digest.update(name + f"\0{file.stat().st_size}\0".encode())
    return digest.hexdigest()[:16]
