"""Images in a zip or tar archive, from a mirror or from this machine."""

import logging
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from entr import downloads, sources
from entr.folders import is_hidden
from entr.guards import EntrError, sha256
from entr.limits import Limits

log = logging.getLogger("entr")

CHUNK = 2**20
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
"""What the archive modules raise for bytes that end early or make no sense."""


class RefusedError(Exception):
    """An archive holds what an archive of images has no need of."""


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    size: int
    """Bytes, as the archive claims."""
    open: Callable[[], IO[bytes]]


def fetch(name: str, entry: Mapping[str, Any], destination: str | Path, limits: Mapping[str, Any]) -> None:
    """Download an archive if it is not on this machine, check it, and unpack its images.

    Parameters
    ----------
    name : str
        The dataset, for messages.
    entry : mapping
        Its entry in the catalogue: ``urls`` or ``path``, ``size``, ``checksums``, ``subfolder``, ``label``.
    destination : path
        Becomes a folder with one sub-folder a class. A download lies beside it, in ``download``,
        until the images are unpacked.
    limits : mapping
        The section ``download`` of the configuration.

    Raises
    ------
    EntrError
        When the archive cannot be had, is not the expected one, is damaged, or is not safe to
        unpack; nothing of it is left.
    """
    limits = Limits.model_validate(limits)
    beside = Path(destination).with_name("download")
    archive = _on_this_machine(name, entry) if entry["path"] else beside / "archive"
    with sources.filling(name, entry, destination) as folder:
        if not entry["path"]:
            downloads.download(entry["urls"], archive, limits, size=entry["size"], checksums=entry["checksums"])
        if not entry["checksums"]:
            log.warning(
                "nothing vouches for the archive of %s: if you trust it, set datasets.%s.checksums: [sha256:%s]",
                name, name, sha256(archive),
            )  # fmt: skip
        try:
            unpack(archive, folder, limits, entry["subfolder"], entry["label"])
        except (RefusedError, *DAMAGED) as error:
            if not entry["path"]:
                archive.unlink()
            where = entry["path"] or "the download"
            if isinstance(error, RefusedError):
                raise EntrError(f"datasets.{name}: {where} is refused and nothing of it unpacked: {error}") from error
            raise EntrError(
                f"datasets.{name}: {where} is a damaged archive ({error}); fetch it again, or try another mirror"
            ) from error
    shutil.rmtree(beside, ignore_errors=True)


def _on_this_machine(name: str, entry: Mapping[str, Any]) -> Path:
    archive = Path(entry["path"]).expanduser()
    try:
        downloads.verify(archive, entry["size"], entry["checksums"])
    except (OSError, downloads.DownloadError) as error:
        raise EntrError(f"datasets.{name}.path: {archive}: {error}; give the right archive") from error
    return archive


def unpack(archive: Path, folder: Path, limits: Limits, subfolder: str = "", label: str | None = None) -> None:
    """Unpack the images of an archive into one sub-folder a class.

    Files that operating systems leave between images are skipped and counted.

    Parameters
    ----------
    archive : Path
        A zip or tar file, the latter compressed or not; told apart by content.
    folder : Path
        Where the classes go.
    limits : Limits
        Largest content and most files.
    subfolder : str
        The folder in the archive that holds the folders of the classes; other files are skipped.
    label : str, optional
        A regular expression that is searched in each path instead: its first group is the class,
        and files that it does not fit are skipped.

    Raises
    ------
    RefusedError
        When a path is absolute or has ``..``, a member is encrypted, a link or a device, two have
        one name, or there are more files or bytes than the limits allow.
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError
        When the archive is damaged.
    """
    skipped: Counter[str] = Counter()
    total = 0
    with _members(archive) as members:
        for count, member in enumerate(members, 1):
            total += member.size
            if count > limits.max_files or total > limits.max_bytes:
                raise RefusedError(
                    f"it holds more than {limits.max_files} files or {limits.max_bytes} bytes; "
                    "if that is right, raise download.max_files or download.max_bytes"
                )
            parts = _parts(member.name)
            if any(map(is_hidden, parts)):
                skipped["left by operating systems"] += 1
            elif place := _place(parts, subfolder, label):
                _write(member, folder / place)
            else:
                skipped["outside the folders of the classes"] += 1
    for what, number in skipped.items():
        log.info("%d files %s were skipped", number, what)


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    """Open an archive and yield its files; folders are left out, they are made as needed."""
    with archive.open("rb") as file:
        begin = file.read(2)
    if begin == b"PK":
        with zipfile.ZipFile(archive) as opened:
            yield _of_zip(opened)
    else:
        with tarfile.open(archive) as opened:
            yield _of_tar(opened)


def _of_zip(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise RefusedError(f"{info.filename!r} is a link or a device")
        if info.flag_bits & 1:
            raise RefusedError(f"{info.filename!r} is encrypted; unpack it yourself and use source: folder")
        if not info.is_dir():
            yield Member(info.filename, info.file_size, lambda info=info: archive.open(info))


def _of_tar(archive: tarfile.TarFile) -> Iterator[Member]:
    for info in archive:
        if not (info.isreg() or info.isdir()):
            raise RefusedError(f"{info.name!r} is a link or a device")
        if info.isreg():
            yield Member(info.name, info.size, lambda info=info: archive.extractfile(info))


def _parts(name: str) -> tuple[str, ...]:
    """Split a member's path, which Windows may have written."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise RefusedError(f"the path {name!r} leads out of the archive")
    return path.parts


def _place(parts: tuple[str, ...], subfolder: str, label: str | None) -> Path | None:
    """Return where a file goes below the folder of classes, or None if it belongs to no class."""
    if label is not None:
        found = re.search(label, "/".join(parts))
        return Path(_checked(found[1]), "_".join(parts)) if found else None
    above = PurePosixPath(subfolder).parts
    if parts[: len(above)] != above or len(parts) < len(above) + 2:
        return None
    return Path(*parts[len(above) :])


def _checked(label: str) -> str:
    try:
        return sources.checked_label(label)
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _write(member: Member, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file, member.open() as content:
            shutil.copyfileobj(content, file, CHUNK)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise RefusedError(f"two members have the name {member.name!r}") from error
    if path.stat().st_size != member.size:
        raise EOFError(f"{member.name!r} ends early")
