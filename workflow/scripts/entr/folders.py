"""Folders of labelled images: one sub-folder a class."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from entr.guards import EntrError


def class_folders(folder: Path) -> list[Path]:
    """Return the sub-folders of a folder, hidden ones apart, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the class and path of each file below a folder of classes, sorted; hidden files apart.

    Links are followed, but into no folder of a class twice.

    Raises
    ------
    EntrError
        When a folder cannot be read.
    """
    for class_folder in class_folders(folder):
        seen: set[tuple[int, int]] = set()
        for parent, folders, names in os.walk(class_folder, followlinks=True, onerror=_unreadable):
            found = Path(parent).stat()
            if (found.st_dev, found.st_ino) in seen:
                folders.clear()
                continue
            seen.add((found.st_dev, found.st_ino))
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            yield from ((class_folder.name, Path(parent, name)) for name in sorted(names) if not is_hidden(name))


def _unreadable(error: OSError) -> None:
    raise EntrError(f"the folder {error.filename} cannot be read ({error.strerror}); mend it or take it away")


def is_hidden(name: str) -> bool:
    """Tell what operating systems leave between a user's images."""
    return name.startswith((".", "__MACOSX")) or name in {"Thumbs.db", "desktop.ini"}


def readable(name: str) -> str:
    """Return a file's name as text; bytes that are no UTF-8 become the replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")


def listing_digest(path: str | Path) -> str:
    """Digest the names, sizes and times of change of the files in a folder of classes.

    A parameter of the rule that reads the folder, so that an added, removed or replaced image is seen.

    Returns
    -------
    str
        Hexadecimal digits, or ``"absent"`` when there is no such folder: the run that needs it says so.
    """
    folder = Path(path)
    if not folder.is_dir():
        return "absent"
    digest = hashlib.sha256()
    for _, file in files(folder):
        name = os.fsencode(file.relative_to(folder).as_posix())
        digest.update(name + f"\0{_state(file)}\0".encode())
    return digest.hexdigest()[:16]


def _state(file: Path) -> str:
    try:
        found = file.stat()
    except OSError:
        return "absent"  # a link to nothing
    return f"{found.st_size} {found.st_mtime_ns}"
