"""The classification datasets of torchvision, by the name of their class."""

import inspect
import logging
import pickle
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torchvision.datasets
from PIL import Image
from torchvision.datasets import VisionDataset

from entr import sources
from entr.guards import EntrError

log = logging.getLogger("entr")


def fetch(name: str, entry: Mapping[str, Any], destination: str | Path) -> None:
    """Download a dataset of torchvision and join its parts.

    torchvision downloads and checks (MD5) by itself. Files are taken as they are; where torchvision
    gives images only, as for CIFAR10, they are stored as PNG.

    Parameters
    ----------
    name : str
        The dataset, for messages.
    entry : mapping
        Its entry in the catalogue: ``torchvision``, the name of a class, and ``parts``, the
        arguments of each part.
    destination : path
        Becomes a folder with one sub-folder a class. The download lies beside it, in ``download``,
        until the images are there.

    Raises
    ------
    EntrError
        When torchvision has no such classification dataset, refuses the arguments, or cannot
        download it.
    """
    beside = Path(destination).with_name("download")
    beside.mkdir(parents=True, exist_ok=True)
    key = f"datasets.{name}"
    kind = _class_of(entry["torchvision"], key)
    with sources.filling(name, entry, destination) as folder:
        for number, arguments in enumerate(entry["parts"] or [{}]):
            for position, (image, label) in enumerate(_samples(kind, beside, arguments, key)):
                place = folder / label
                place.mkdir(exist_ok=True)
                _store(image, place / f"{number}-{position:06d}")
    shutil.rmtree(beside)


def _class_of(name: str, key: str) -> type[VisionDataset]:
    kind = getattr(torchvision.datasets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, VisionDataset)):
        raise EntrError(f"{key}.torchvision: torchvision.datasets has no {name!r}; take a name from its documentation")
    return kind


def _samples(
    kind: type[VisionDataset], root: Path, arguments: Mapping[str, Any], key: str
) -> Iterator[tuple[Path | Image.Image, str]]:
    """Yield each image, or the path of its file where torchvision has one, and its class."""
    known = inspect.signature(kind).parameters
    as_files = {"loader": Path} if "loader" in known else {}
    try:
        dataset = kind(root, download=True, **as_files, **arguments)
    except (TypeError, ValueError) as error:
        raise EntrError(f"{key}.parts: {kind.__name__} refuses {dict(arguments)}: {error}") from error
    except (RuntimeError, OSError, URLError, EOFError, pickle.UnpicklingError) as error:
        raise EntrError(
            f"{key}: torchvision cannot download {kind.__name__}: {error}. Run this step where there is internet"
        ) from error
    names = getattr(dataset, "classes", None)
    for image, target in dataset:
        if isinstance(target, bool) or not isinstance(target, int):
            raise EntrError(f"{key}.torchvision: {kind.__name__} is no classification dataset: a label is {target!r}")
        yield image, _label(names[target] if names else f"{target:04d}", key)


def _label(name: str | tuple[str, ...], key: str) -> str:
    """Return the name of a class, the first of several."""
    first = name if isinstance(name, str) else name[0]
    try:
        return sources.checked_label(first.replace("/", "-"))
    except ValueError as error:
        raise EntrError(f"{key}: {error}") from error


def _store(image: Path | Image.Image, path: Path) -> None:
    if isinstance(image, Image.Image):
        image.save(f"{path}.png", compress_level=1)
    else:
        shutil.copyfile(image, path.with_suffix(image.suffix))
