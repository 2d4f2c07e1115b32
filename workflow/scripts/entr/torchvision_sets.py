"""The classification datasets of torchvision, by the name of their class."""

import inspect
import logging
import pickle
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torchvision.datasets
from PIL import Image
from torchvision.datasets import VisionDataset

from entr import sources
from entr.guards import EntrError
from entr.limits import Limits

log = logging.getLogger("entr")


def fetch(name: str, entry: Mapping[str, Any], destination: str | Path, limits: Mapping[str, Any]) -> None:
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
        until the images are there, and is used by the next run if torchvision had unpacked it whole.
    limits : mapping
        The section ``download`` of the configuration, of which ``timeout`` counts here.

    Raises
    ------
    EntrError
        When torchvision has no such classification dataset, refuses the arguments, or cannot
        download it.
    """
    beside = sources.beside(destination)
    timeout = Limits.model_validate(limits).timeout
    key = f"datasets.{name}"
    kind = _class_of(entry["torchvision"], key)
    with sources.filling(name, entry, destination) as folder:
        for number, arguments in enumerate(entry["parts"] or [{}]):
            with _whole(beside), _no_longer_than(timeout):
                dataset = _dataset(kind, beside, arguments, key)
            for position, (image, label) in enumerate(_samples(dataset, key)):
                place = folder / label
                place.mkdir(exist_ok=True)
                _store(image, place / f"{number}-{position:06d}")


@contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """Empty a folder, unless the block has ended well each time before.

    torchvision takes a set whose folder is there for whole, also when it was killed while it unpacked.
    """
    mark = folder / "whole"
    if not mark.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    mark.unlink(missing_ok=True)
    yield
    mark.touch()


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """Give connections up after silence, which torchvision itself would wait out for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _class_of(name: str, key: str) -> type[VisionDataset]:
    kind = getattr(torchvision.datasets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, VisionDataset)):
        raise EntrError(f"{key}.torchvision: torchvision.datasets has no {name!r}; take a name from its documentation")
    return kind


def _dataset(kind: type[VisionDataset], root: Path, arguments: Mapping[str, Any], key: str) -> VisionDataset:
    """Have torchvision download a part; images are paths of files where torchvision has them."""
    known = inspect.signature(kind).parameters
    wanted = {name: value for name, value in {"download": True, "loader": Path}.items() if name in known}
    try:
        return kind(root, **wanted, **arguments)
    except (TypeError, ValueError) as error:
        raise EntrError(f"{key}.parts: {kind.__name__} refuses {dict(arguments)}: {error}") from error
    except (RuntimeError, OSError, URLError, EOFError, pickle.UnpicklingError) as error:
        raise EntrError(
            f"{key}: torchvision cannot download {kind.__name__}: {error}. Run this step where there is internet"
        ) from error


def _samples(dataset: VisionDataset, key: str) -> Iterator[tuple[Path | Image.Image, str]]:
    """Yield each image, or the path of its file where torchvision has one, and its class."""
    names = getattr(dataset, "classes", None)
    for image, target in dataset:
        if isinstance(target, bool) or not isinstance(target, int):
            raise EntrError(
                f"{key}.torchvision: {type(dataset).__name__} is no classification dataset: a label is {target!r}"
            )
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
