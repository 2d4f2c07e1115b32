"""Source `torchvision`: the classification datasets of torchvision, by class name."""

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

from entr.config.download_settings import DownloadSettings
from entr.data.checksum_record import ChecksumRecord
from entr.data.sources import staging
from entr.jobs.errors import EntrError, one_line
from entr.jobs.files import sha256

log = logging.getLogger("entr")

ARCHIVES = {".bz2", ".gz", ".mat", ".tar", ".tgz", ".xz", ".zip"}
"""Suffixes of the files that torchvision downloads."""


def fetch_torchvision(
    name: str,
    entry: Mapping[str, Any],
    destination: str | Path,
    download_settings: Mapping[str, Any],
    checksum_record: str | Path,
) -> None:
    """Download a dataset of torchvision and join its splits.

    torchvision downloads the files itself, and verifies those whose MD5 it knows. Image files are copied
    unchanged. Datasets without image files, such as CIFAR10, are stored as PNG.

    Parameters
    ----------
    name : str
        Name of the dataset, for messages.
    entry : mapping
        Its entry in the catalogue: ``torchvision``, the name of a class, and ``splits``, the
        constructor arguments of each split.
    destination : path
        Folder to create, with one subfolder per class. The download is kept in `download_cache`
        until the folder is complete. The next run reuses it if torchvision had finished with it.
    download_settings : mapping
        The section ``download`` of the configuration, of which only ``timeout`` is used.
    checksum_record : path
        File of a `ChecksumRecord`, by which the downloaded archives are verified before an image is used.

    Raises
    ------
    EntrError
        If torchvision has no such classification dataset, rejects the arguments, or cannot
        download it, or if an archive differs from the first download.
    """
    cache = staging.download_cache(destination)
    timeout = DownloadSettings.model_validate(download_settings).timeout
    key = f"datasets.{name}"
    dataset_class = _dataset_class(entry["torchvision"], key)
    record = ChecksumRecord(checksum_record)
    checksums: dict[str, str] = {}
    with staging.staged_originals(name, entry, destination) as folder:
        for number, arguments in enumerate(entry["splits"] or [{}]):
            with _emptied_unless_complete(cache), _socket_timeout(timeout):
                dataset = _download_split(dataset_class, cache, arguments, key)
                checksums |= _verified_archives(dataset_class, cache, record, key)
            for position, (image, label) in enumerate(_labelled_images(dataset, key)):
                class_folder = folder / label
                class_folder.mkdir(exist_ok=True)
                _store(image, class_folder / f"{number}-{position:06d}")
    record.add(checksums)


@contextmanager
def _emptied_unless_complete(cache: Path) -> Iterator[None]:
    """Empty a directory first, unless every earlier block that used it ended without an error.

    torchvision assumes that a dataset is complete if its directory exists, even if an earlier run
    was killed while it extracted the files.
    """
    marker = cache / "complete"
    if not marker.exists():
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
    marker.unlink(missing_ok=True)
    yield
    marker.touch()


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Set a timeout for connections, because torchvision sets none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _dataset_class(name: str, key: str) -> type[VisionDataset]:
    found = getattr(torchvision.datasets, name, None)
    if not (inspect.isclass(found) and issubclass(found, VisionDataset)):
        raise EntrError(f"{key}.torchvision: torchvision.datasets has no {name!r}; use a name of its documentation")
    return found


def _download_split(
    dataset_class: type[VisionDataset], root: Path, arguments: Mapping[str, Any], key: str
) -> VisionDataset:
    """Download a split with torchvision; its images are paths where torchvision has image files."""
    parameters = inspect.signature(dataset_class).parameters
    options = {name: value for name, value in {"download": True, "loader": Path}.items() if name in parameters}
    name = dataset_class.__name__
    try:
        return dataset_class(root, **options, **arguments)
    except (TypeError, ValueError) as error:
        raise EntrError(
            f"{key}.splits: {name} rejects {dict(arguments)} ({one_line(error)}); correct the arguments"
        ) from error
    except (RuntimeError, OSError, URLError, EOFError, pickle.UnpicklingError) as error:
        raise EntrError(
            f"{key}: torchvision cannot download {name} ({one_line(error)}); run this step with internet access"
        ) from error


def _verified_archives(
    dataset_class: type[VisionDataset], cache: Path, record: ChecksumRecord, key: str
) -> dict[str, str]:
    """Return the SHA-256 of the archives that torchvision has downloaded, after comparing them with the record."""
    checksums = {}
    for path in sorted(path for path in cache.rglob("*") if path.suffix in ARCHIVES and path.is_file()):
        source = f"{dataset_class.__name__}: {path.relative_to(cache)}"
        checksums[source] = sha256(path)
        recorded = record.find([source])
        if recorded not in {None, checksums[source]}:
            raise EntrError(
                f"{key}: checksum mismatch of {source}: sha256 is {checksums[source]}, expected {recorded}; the "
                f"expected SHA-256 is that of the first download, recorded in {record.path}; to accept the new file, "
                "delete its row there"
            )
    return checksums


def _labelled_images(dataset: VisionDataset, key: str) -> Iterator[tuple[Path | Image.Image, str]]:
    """Yield each image, or its path where torchvision has image files, and its class."""
    names = getattr(dataset, "classes", None)
    for image, target in dataset:
        if isinstance(target, bool) or not isinstance(target, int):
            raise EntrError(
                f"{key}.torchvision: {type(dataset).__name__} is not a classification dataset: a label is {target!r}; "
                "use another dataset"
            )
        yield image, _label(names[target] if names else f"{target:04d}", key)


def _label(name: str | tuple[str, ...], key: str) -> str:
    """Return the name of a class, the first one if it has several."""
    first = name if isinstance(name, str) else name[0]
    try:
        return staging.validate_label(first.replace("/", "-"))
    except ValueError as error:
        raise EntrError(f"{key}: {error}; use another dataset") from error


def _store(image: Path | Image.Image, path: Path) -> None:
    if isinstance(image, Image.Image):
        image.save(f"{path}.png", compress_level=1)
    else:
        shutil.copyfile(image, path.with_suffix(image.suffix))
