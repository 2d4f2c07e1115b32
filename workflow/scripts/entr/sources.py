"""Where images come from: each source fills a folder with one sub-folder of images a class."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from entr.guards import EntrError, atomic_directory

log = logging.getLogger("entr")

Source = Callable[[Path, Mapping[str, Any], int], None]
"""Fill an empty folder from the dataset's settings, using so many processes."""


def fetch(name: str, settings: Mapping[str, Any], destination: str | Path, processes: int = 1) -> None:
    """Bring a dataset's original images to one place, whole or not at all.

    Parameters
    ----------
    name : str
        The dataset, for messages.
    settings : mapping
        Its entry in the catalogue.
    destination : path
        Becomes a folder with one sub-folder a class, itself a link where the images are yours.
    processes : int
        Processes to use where it helps.

    Raises
    ------
    EntrError
        When there are no images, or only one class of them.
    """
    with atomic_directory(destination) as folder:
        SOURCES[settings["source"]](folder, settings, processes)
        classes = class_folders(folder)
        if len(classes) < 2:
            found = f"only the class {classes[0].name!r}" if classes else "no sub-folder"
            raise EntrError(
                f"datasets.{name}: {settings.get('path') or settings['source']} has {found}; "
                "put the images of each class into a sub-folder of its own, at least two"
            )
        log.info("%s: %d classes", name, len(classes))


def generated(folder: Path, settings: Mapping[str, Any], processes: int) -> None:
    """Render micrographs of steel from geometry; no network, no licence."""
    from entr import micrographs  # noqa: PLC0415  the Snakefile reads this module and needs no scipy

    micrographs.write(folder, settings["images_per_class"], settings["seed"], processes)


def from_folder(folder: Path, settings: Mapping[str, Any], _processes: int) -> None:
    """Link the classes of a folder of the user's; nothing of it is copied or changed."""
    for source in class_folders(_existing(settings["path"])):
        (folder / source.name).symlink_to(source.resolve(), target_is_directory=True)


SOURCES: dict[str, Source] = {"generated": generated, "folder": from_folder}


def class_folders(folder: Path) -> list[Path]:
    """Return the sub-folders of a folder, hidden ones apart, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name))


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the class and path of each file below a folder of classes, sorted; hidden files apart."""
    for class_folder in class_folders(folder):
        for parent, folders, names in os.walk(class_folder, followlinks=True):
            folders[:] = sorted(name for name in folders if not _hidden(name))
            yield from ((class_folder.name, Path(parent, name)) for name in sorted(names) if not _hidden(name))


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
        digest.update(
            f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()[:16]


def _existing(path: str) -> Path:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise EntrError(f"datasets: there is no folder {path!r}; correct the key path")
    return folder


def _hidden(name: str) -> bool:
    """Tell what operating systems leave between a user's images."""
    return name.startswith((".", "__MACOSX")) or name in {"Thumbs.db", "desktop.ini"}
