"""Staging of original images: every source creates a checked folder with one subfolder per class."""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from entr.data.image_folder import class_folders, decode_name, is_hidden, labelled_files
from entr.jobs.directories import atomic_directory
from entr.jobs.errors import EntrError

log = logging.getLogger("entr")

MAX_NAME_BYTES = 255
"""Longest file name on all file systems in common use."""


@contextmanager
def staged_originals(name: str, entry: Mapping[str, Any], destination: str | Path) -> Iterator[Path]:
    """Yield an empty folder for the originals of a dataset; it is renamed once it is complete and checked.

    A lock keeps other processes from filling it at the same time. `download_cache` is removed once
    the folder is complete.

    Parameters
    ----------
    name : str
        Name of the dataset, for messages.
    entry : mapping
        Its entry in the catalogue; ``images`` and ``classes`` are the expected numbers.
    destination : path
        Folder to create, with one subfolder per class.

    Raises
    ------
    EntrError
        If there are fewer than two classes, a class is empty, two classes differ only in case, a
        name is not UTF-8, a published collection has an unexpected number of images or classes, or
        another process fills the folder.
    """
    with atomic_directory(destination) as folder:
        yield folder
        counts = Counter(label for label, _ in labelled_files(folder))
        _check_originals(f"datasets.{name}", entry, counts, folder)
        shutil.rmtree(download_cache(destination), ignore_errors=True)


def download_cache(destination: str | Path) -> Path:
    """Return the directory that keeps the downloads for `destination` until that is complete."""
    return Path(destination).with_name("download")


def validate_label(label: str) -> str:
    """Return the name of a class if it is a valid folder name.

    Raises
    ------
    ValueError
        If it is empty, hidden or too long, or contains a slash.
    """
    if not label or "/" in label or "\0" in label or is_hidden(label) or len(os.fsencode(label)) > MAX_NAME_BYTES:
        raise ValueError(f"the class {label!r} is not a valid folder name")
    return label


def _check_originals(key: str, entry: Mapping[str, Any], counts: Counter[str], folder: Path) -> None:
    """Check the classes of a folder, and the number of images and classes."""
    classes = [path.name for path in class_folders(folder)]
    source = entry.get("path") or f"source: {entry['source']}"
    if len(classes) < 2:
        found = f"only the class {classes[0]!r}" if classes else "no subfolder with images"
        raise EntrError(
            f"{key}: {source} has {found}; put the images of each class into a subfolder of its own, at least two "
            "(an archive may need the key subfolder)"
        )
    for label in classes:
        if not counts[label]:
            raise EntrError(f"{key}: the class {label!r} of {source} has no files; add images or remove its folder")
        if decode_name(label) != label:
            raise EntrError(f"{key}: the name of the class {label!r} of {source} is not UTF-8; rename its folder")
    by_lower_case: dict[str, str] = {}
    for label in classes:
        other = by_lower_case.setdefault(label.casefold(), label)
        if other != label:
            raise EntrError(
                f"{key}: the classes {other!r} and {label!r} differ only in case; merge or rename them, or use a "
                "split that has only one of them"
            )
    _check_counts(key, entry, images=counts.total(), classes=len(classes))


def _check_counts(key: str, entry: Mapping[str, Any], **found: int) -> None:
    for quantity, count in found.items():
        expected = entry.get(quantity)
        if expected is None or count == expected:
            continue
        problem = f"{key}: {count} {quantity} found, {expected} expected"
        if entry["source"] not in {"folder", "url_list"}:
            raise EntrError(
                f"{problem}; the source has changed or is damaged: if the number is right, correct {key}.{quantity}"
            )
        log.warning("%s; this is allowed for your own data: report the actual number with your results", problem)
    log.info("%s: %d images in %d classes", key, found["images"], found["classes"])
