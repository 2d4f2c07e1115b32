"""Images in a zip or tar archive, from a mirror or from this machine."""

import errno
import hashlib
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
from typing import IO, Any, Self

from entr import downloads, sources
from entr.folders import is_hidden
from entr.guards import EntrError, sha256
from entr.limits import Limits

log = logging.getLogger("entr")

CHUNK = 2**20
LONGEST_HEADER = 2**20
"""Bytes of what a tar archive says of a member; it is read at once, and names are shorter."""
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
"""What the archive modules raise for bytes that end early or make no sense."""


class RefusedError(Exception):
    """An archive holds what an archive of images has no need of."""


@dataclass(frozen=True)
class Member:
    """A file or folder in an archive."""

    name: str
    is_folder: bool
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
        until the images are unpacked; after an error it is kept if a checksum vouches for it, or
        if nothing is wrong with the archive itself.
    limits : mapping
        The section ``download`` of the configuration.

    Raises
    ------
    EntrError
        When the archive cannot be had, is not the expected one, is damaged, or is not safe to
        unpack; nothing of it is unpacked.
    """
    limits = Limits.model_validate(limits)
    archive = _on_this_machine(name, entry) if entry["path"] else sources.beside(destination) / _kept(entry)
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
            if not entry["path"] and not entry["checksums"]:
                archive.unlink()
            where = entry["path"] or "the download"
            if isinstance(error, RefusedError):
                raise EntrError(f"datasets.{name}: {where} is refused and nothing of it unpacked: {error}") from error
            raise EntrError(
                f"datasets.{name}: {where} is a damaged archive ({error}); fetch it again, or try another mirror"
            ) from error


def _kept(entry: Mapping[str, Any]) -> str:
    """Return what a download is called: by its checksums, or by its addresses if those alone say what it is."""
    told_by = " ".join(sorted(entry["checksums"]) or entry["urls"])
    return f"archive-{hashlib.sha256(told_by.encode()).hexdigest()[:16]}"


def _on_this_machine(name: str, entry: Mapping[str, Any]) -> Path:
    archive = Path(entry["path"])
    if not archive.is_file():
        raise EntrError(f"datasets.{name}.path: there is no file {entry['path']!r}; correct the path")
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
        When a path is absolute, has ``..`` or cannot be a file's, a member is encrypted, a link, a
        device or packed in a way that Python does not know, two have one name, or there are more
        files (folders count) or bytes than the limits allow.
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
            if member.is_folder:
                continue
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
    """Open an archive and yield its members."""
    with archive.open("rb") as file:
        begin = file.read(2)
    if begin == b"PK":
        with _opened_zip(archive) as opened:
            yield _of_zip(opened)
        return
    try:
        with tarfile.open(archive, tarinfo=_Header) as opened:
            yield _of_tar(opened)
    except OSError as error:
        if error.errno is not None:
            raise
        # not from the system: gzip and bz2 say so that bytes make no sense
        raise tarfile.ReadError(str(error)) from error


def _opened_zip(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except UnicodeDecodeError as error:
        raise RefusedError("the name of a member is not in UTF-8, as it claims") from error


class _Header(tarfile.TarInfo):
    """What a tar archive says of a member, refused when it would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if not header.isreg() and header.size > LONGEST_HEADER:
            raise RefusedError(f"it says {header.size} bytes about one member")
        return header


def _of_zip(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise RefusedError(f"{info.filename!r} is a link or a device")
        if info.flag_bits & 1:
            raise RefusedError(f"{info.filename!r} is encrypted; unpack it yourself and use source: folder")
        yield Member(info.filename, info.is_dir(), info.file_size, lambda info=info: archive.open(info))


def _of_tar(archive: tarfile.TarFile) -> Iterator[Member]:
    for info in archive:
        if not (info.isreg() or info.isdir()):
            raise RefusedError(f"{info.name!r} is a link or a device")
        yield Member(info.name, info.isdir(), info.size, lambda info=info: archive.extractfile(info))
    _read_to_its_end(archive)


def _read_to_its_end(archive: tarfile.TarFile) -> None:
    """Raise an error where tarfile itself takes a damaged header, or no more bytes, for the end."""
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("it ends without the mark of its end")
    # the checksum of a compressed archive lies behind its last byte
    while archive.fileobj.read(CHUNK):
        pass


def _parts(name: str) -> tuple[str, ...]:
    """Split a member's path, which Windows may have written."""
    path = PurePosixPath(name.replace("\\", "/"))
    if "\0" in name:
        raise RefusedError(f"the path {name!r} cannot be a file's")
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise RefusedError(f"the path {name!r} leads out of the archive")
    return path.parts


def _place(parts: tuple[str, ...], subfolder: str, label: str | None) -> Path | None:
    """Return where a file goes below the folder of classes, or None if it belongs to no class."""
    if label is not None:
        found = re.search(label, "/".join(parts))
        return Path(_checked(found[1]), *parts) if found else None
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
    except NotImplementedError as error:
        raise RefusedError(f"{member.name!r}: {error}; unpack it yourself and use source: folder") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise RefusedError(f"the path {member.name!r} is too long") from error
        raise
    if path.stat().st_size != member.size:
        raise EOFError(f"{member.name!r} ends early")
