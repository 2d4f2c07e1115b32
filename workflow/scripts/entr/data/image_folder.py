"""Image folders: labelled images in one subfolder per class."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from entr.jobs.errors import EntrError


def class_folders(folder: Path) -> list[Path]:
    """Return the subfolders of a folder, except hidden ones, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def labelled_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the class and the path of each file in an image folder, sorted, except hidden files.

    Symbolic links are followed, but no folder is visited twice within a class.

    Raises
    ------
    EntrError
        If a folder cannot be read.
    """
    for class_folder in class_folders(folder):
        visited: set[tuple[int, int]] = set()
        for parent, subfolders, names in os.walk(class_folder, followlinks=True, onerror=_raise_unreadable):
            status = Path(parent).stat()
            if (status.st_dev, status.st_ino) in visited:
                subfolders.clear()
                continue
            visited.add((status.st_dev, status.st_ino))
            subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
            yield from ((class_folder.name, Path(parent, name)) for name in sorted(names) if not is_hidden(name))


def _raise_unreadable(error: OSError) -> None:
    raise EntrError(f"the folder {error.filename} cannot be read ({error.strerror}); fix its permissions or remove it")


def is_hidden(name: str) -> bool:
    """Tell whether a file is hidden or created by an operating system, such as ``.DS_Store``."""
    return name.startswith((".", "__MACOSX")) or name in {"Thumbs.db", "desktop.ini"}


def decode_name(name: str) -> str:
    """Return a file name as text, with the replacement character for bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def listing_digest(path: str | Path) -> str:
    """Digest the names, sizes and modification times of the files in an image folder.

    The rule that links the folder has it as a parameter, so that it reruns when an image is added,
    removed or replaced.

    Returns
    -------
    str
        The first 16 hexadecimal digits of a SHA-256, or ``"absent"`` if the folder does not exist:
        only a run that needs the folder reports that as an error.
    """
    folder = Path(path)
    if not folder.is_dir():
        return "absent"
    digest = hashlib.sha256()
    for _, file in labelled_files(folder):
        name = os.fsencode(file.relative_to(folder).as_posix())
        digest.update(name + f"\0{_size_and_mtime(file)}\0".encode())
    return digest.hexdigest()[:16]


def _size_and_mtime(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return "absent"  # a dangling symbolic link
    return f"{status.st_size} {status.st_mtime_ns}"
