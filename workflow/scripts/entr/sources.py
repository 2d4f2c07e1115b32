"""What every source of images leaves behind: a folder with one sub-folder of images a class."""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from entr.folders import class_folders, files, is_hidden, readable
from entr.guards import EntrError, atomic_directory

log = logging.getLogger("entr")

LONGEST_NAME = 255
"""Bytes of a file's name, on every file system in common use."""


@contextmanager
def filling(name: str, entry: Mapping[str, Any], destination: str | Path) -> Iterator[Path]:
    """Yield an empty folder for a dataset's originals; it takes its name when it is whole and checked.

    No other process fills it meanwhile. What was downloaded for it lies in `beside` and goes when
    the folder is whole.

    Parameters
    ----------
    name : str
        The dataset, for messages.
    entry : mapping
        Its entry in the catalogue; ``images`` and ``classes`` are the numbers to expect.
    destination : path
        Becomes a folder with one sub-folder a class.

    Raises
    ------
    EntrError
        When there are fewer than two classes, a class is empty, two classes differ only in upper
        and lower case, a name is no UTF-8, a published collection has not the images that it
        should have, or another process fills the folder.
    """
    with atomic_directory(destination) as folder:
        yield folder
        _check(f"datasets.{name}", entry, Counter(label for label, _ in files(folder)), folder)
        shutil.rmtree(beside(destination), ignore_errors=True)


def beside(destination: str | Path) -> Path:
    """Return the folder that keeps what is downloaded for `destination` until that is whole."""
    return Path(destination).with_name("download")


def link(name: str, entry: Mapping[str, Any], destination: str | Path) -> None:
    """Link the classes of a folder of the user's; nothing of it is copied or changed.

    Raises
    ------
    EntrError
        When there is no such folder, and as `filling`.
    """
    source = Path(entry["path"])
    if not source.is_dir():
        raise EntrError(f"datasets.{name}.path: there is no folder {entry['path']!r}; correct the path")
    with filling(name, entry, destination) as folder:
        for path in class_folders(source):
            (folder / path.name).symlink_to(path.resolve(), target_is_directory=True)


def checked_label(label: str) -> str:
    """Return the name of a class if a folder can have it.

    Raises
    ------
    ValueError
        When it is empty, hidden, too long, or has a slash.
    """
    if not label or "/" in label or "\0" in label or is_hidden(label) or len(os.fsencode(label)) > LONGEST_NAME:
        raise ValueError(f"{label!r} cannot name a class, which is a folder")
    return label


def _check(key: str, entry: Mapping[str, Any], counts: Counter[str], folder: Path) -> None:
    classes = [path.name for path in class_folders(folder)]
    where = entry.get("path") or f"source: {entry['source']}"
    if len(classes) < 2:
        found = f"only the class {classes[0]!r}" if classes else "no sub-folder with images"
        raise EntrError(
            f"{key}: {where} has {found}; put the images of each class into a sub-folder of its own, at least two "
            "(an archive may need the key subfolder)"
        )
    for label in classes:
        if not counts[label]:
            raise EntrError(f"{key}: the class {label!r} of {where} has no files; add images or remove its folder")
        if readable(label) != label:
            raise EntrError(f"{key}: the name of the class {label!r} of {where} is no UTF-8; rename its folder")
    folded = {}
    for label in classes:
        other = folded.setdefault(label.casefold(), label)
        if other != label:
            raise EntrError(
                f"{key}: the classes {other!r} and {label!r} differ only in case; join or rename them, or take a part "
                "that has one of them"
            )
    _check_counts(key, entry, images=counts.total(), classes=len(classes))


def _check_counts(key: str, entry: Mapping[str, Any], **found: int) -> None:
    for what, count in found.items():
        expected = entry.get(what)
        if expected is None or count == expected:
            continue
        problem = f"{key}: {count} {what} found, {expected} expected"
        if entry["source"] not in {"folder", "list"}:
            raise EntrError(f"{problem}; the source has changed or is damaged: if it is right, correct {key}.{what}")
        log.warning("%s; your own data may differ, but say so beside results", problem)
    log.info("%s: %d images in %d classes", key, found["images"], found["classes"])
