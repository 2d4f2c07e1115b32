"""Source `archive`: images in a zip or tar file, downloaded or local."""

import bz2
import errno
import gzip
import hashlib
import logging
import lzma
import math
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, cast

from entr.config.download_settings import DownloadSettings
from entr.data import download
from entr.data.checksum_record import ChecksumRecord
from entr.data.image_folder import is_hidden
from entr.data.sources import staging
from entr.jobs.errors import EntrError, one_line, shown
from entr.jobs.files import sha256

log = logging.getLogger("entr")

CHUNK_BYTES = 2**20
MAX_HEADER_BYTES = 2**14
"""Largest metadata of one member of a tar archive. Real ones are far smaller, and older versions of tarfile take a time
that grows with the square of the size."""
MAX_DEPTH = 100
"""Most folders in a path. Python creates and deletes nested folders recursively, up to about 1000."""
DECOMPRESSORS: Mapping[bytes, Callable[[Path, Literal["rb"]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
"""Functions that open a compressed file, by its first bytes."""
ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Compression methods of zip archives that are decompressed in parts; of the others, zipfile decompresses a whole
megabyte at once, which may become gigabytes."""
COMPRESSED = (b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
"""First bytes of archives: zip, and tar compressed by gzip, bzip2 and xz."""
TAR_MAGIC = slice(257, 262)
"""Where ``ustar`` stands in an uncompressed tar file."""
CORRUPTION_ERRORS = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
    # of numbers and texts in headers that are impossible
    *(ValueError, ArithmeticError, LookupError, struct.error),
)
"""Errors that the archive modules raise for truncated or corrupt archives."""


class RejectedArchiveError(Exception):
    """An archive with content that is unsafe, or that an archive of images does not need."""


@dataclass(frozen=True)
class Member:
    """A file or folder in an archive."""

    name: str
    is_folder: bool
    n_bytes: int
    """Size that the archive claims."""
    open: Callable[[], IO[bytes]]


def fetch_archive(
    name: str,
    entry: Mapping[str, Any],
    destination: str | Path,
    download_settings: Mapping[str, Any],
    checksum_record: str | Path,
) -> None:
    """Download an archive unless it is a local file, verify it, and extract its images.

    Parameters
    ----------
    name : str
        Name of the dataset, for messages.
    entry : mapping
        Its entry in the catalogue: ``urls`` or ``path``, ``bytes``, ``checksums``, ``subfolder``, ``label_regex``.
    destination : path
        Folder to create, with one subfolder per class. A download is kept in `download_cache` until
        the images are extracted. After an error, it is kept if it has a checksum or is not to blame.
    download_settings : mapping
        The section ``download`` of the configuration.
    checksum_record : path
        File of a `ChecksumRecord`, by which a download without a configured checksum is verified.

    Raises
    ------
    EntrError
        If the archive cannot be downloaded, differs from the expected one, is damaged, or is unsafe
        to extract. Nothing is extracted then.
    """
    settings = DownloadSettings.model_validate(download_settings)
    archive = _local_archive(name, entry) if entry["path"] else staging.download_cache(destination) / _cache_name(entry)
    record = None if entry["path"] or entry["checksums"] else ChecksumRecord(checksum_record)
    with staging.staged_originals(name, entry, destination) as folder:
        if not entry["path"]:
            _download(name, entry, archive, settings, record)
        if not entry["checksums"]:
            digest = sha256(archive)
            log.warning(
                "no checksum configured for the archive of %s; "
                "to pin this file, set datasets.%s.checksums: [sha256:%s]",
                *(name, name, digest),
            )
        file = entry["path"] or "the download"
        try:
            unpack(archive, folder, settings, entry["subfolder"], entry["label_regex"])
        except MemoryError as error:
            # the head of an xz archive states how much memory it takes, up to 4 GiB
            raise EntrError(
                f"datasets.{name}: {file} takes more memory to unpack than is available; unpack it yourself and use "
                "source: folder"
            ) from error
        except (RejectedArchiveError, *CORRUPTION_ERRORS) as error:
            with open(archive, "rb") as opened:
                head = opened.read(tarfile.BLOCKSIZE)
            if not entry["path"] and not entry["checksums"]:
                archive.unlink()
            if isinstance(error, RejectedArchiveError):
                raise EntrError(f"datasets.{name}: {file} was rejected; nothing was extracted: {error}") from error
            if not head.startswith(COMPRESSED) and head[TAR_MAGIC] != b"ustar":
                remedy = "unpack it yourself and use source: folder" if entry["path"] else "correct the URL"
                raise EntrError(
                    f"datasets.{name}: {file} is not a zip or tar archive; it starts with {shown(head[:20])}; {remedy}"
                ) from error
            raise EntrError(
                f"datasets.{name}: {file} is a damaged archive ({one_line(error)}); download it again, or use another "
                "mirror"
            ) from error
    if record:
        record.add(dict.fromkeys(entry["urls"], digest))


def _download(
    name: str, entry: Mapping[str, Any], archive: Path, settings: DownloadSettings, record: ChecksumRecord | None
) -> None:
    recorded = record.find(entry["urls"]) if record else None
    remedy = "correct the URLs, the size or the checksums"
    if record and recorded:
        remedy = f"correct the URLs or the size; {record.remedy(f'datasets.{name}.checksums')}"
    download.download(
        entry["urls"],
        archive,
        settings,
        key=f"datasets.{name}.urls",
        n_bytes=entry["bytes"],
        checksums=[f"sha256:{recorded}"] if recorded else entry["checksums"],
        remedy=remedy,
    )


def _cache_name(entry: Mapping[str, Any]) -> str:
    """Return a file name for a download that depends on its checksums or, without any, on its URLs."""
    identity = " ".join(sorted(entry["checksums"]) or entry["urls"])
    return f"archive-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _local_archive(name: str, entry: Mapping[str, Any]) -> Path:
    archive = Path(entry["path"])
    if not archive.is_file():
        raise EntrError(f"datasets.{name}.path: the file {entry['path']!r} does not exist; correct the path")
    try:
        download.verify(archive, entry["bytes"], entry["checksums"])
    except (OSError, download.DownloadError) as error:
        raise EntrError(f"datasets.{name}.path: {archive}: {error}; provide the correct archive") from error
    return archive


def unpack(
    archive: Path, folder: Path, settings: DownloadSettings, subfolder: str = "", label_regex: str | None = None
) -> None:
    """Extract the images of an archive into one subfolder per class.

    Hidden files and files of operating systems are skipped and counted.

    Parameters
    ----------
    archive : Path
        A zip or tar file, compressed or not; the format is detected by content.
    folder : Path
        Existing folder, in which the class folders are created.
    settings : DownloadSettings
        Largest content and number of files.
    subfolder : str
        The folder in the archive that contains the class folders; other files are skipped.
    label_regex : str, optional
        Regular expression that is searched in each path instead. Its first group is the class;
        files that it does not match are skipped.

    Raises
    ------
    RejectedArchiveError
        If a path is absolute, contains ``..``, has more than `MAX_DEPTH` folders or is not a valid file
        name; if a member is encrypted, a link, a device, a sparse file, compressed in an unsupported way
        or has too much metadata; if two members have the same name; or if there are more files (folders
        count) or bytes than the settings allow.
    CORRUPTION_ERRORS
        If the archive is damaged.
    """
    skipped: Counter[str] = Counter()
    total_bytes = 0
    with _members(archive) as members:
        for count, member in enumerate(members, 1):
            total_bytes += member.n_bytes
            if count > settings.max_files or total_bytes > settings.max_bytes:
                raise RejectedArchiveError(
                    f"it has more than {settings.max_files} files or {settings.max_bytes} bytes; "
                    "if that is correct, raise download.max_files or download.max_bytes"
                )
            parts = _path_parts(member.name)
            if member.is_folder:
                continue
            if any(map(is_hidden, parts)):
                skipped["hidden or created by an operating system"] += 1
            elif target := _target_path(parts, subfolder, label_regex):
                _extract(member, folder / target)
            else:
                skipped["outside the class folders"] += 1
    for reason, count in skipped.items():
        log.info("%s: %d files skipped (%s)", archive.name, count, reason)


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    """Open an archive and yield an iterator over its members."""
    with archive.open("rb") as file:
        signature = file.read(2)
    if signature == b"PK":
        with _open_zip(archive) as opened_zip:
            yield _zip_members(opened_zip, archive.stat().st_size)
        return
    try:
        with _decompressed(archive) as stream:
            limited = _LimitedMetadata(stream)
            with tarfile.TarFile(fileobj=cast("IO[bytes]", limited)) as opened_tar:
                yield _tar_members(opened_tar, limited)
    except OSError as error:
        if error.errno is not None:
            raise
        # an OSError without errno comes from gzip or bz2 and means that the data is corrupt
        raise tarfile.ReadError(str(error)) from error


def _open_zip(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except UnicodeDecodeError as error:
        raise RejectedArchiveError("the name of a member is not valid UTF-8, although it claims to be") from error
    except NotImplementedError as error:
        raise RejectedArchiveError(f"{error} is not supported; unpack it yourself and use source: folder") from error


def _decompressed(archive: Path) -> IO[bytes]:
    """Open a file, decompressed if it is compressed."""
    with archive.open("rb") as file:
        start = file.read(max(map(len, DECOMPRESSORS)))
    open_file = next((one for signature, one in DECOMPRESSORS.items() if start.startswith(signature)), Path.open)
    return open_file(archive, "rb")


class _LimitedMetadata:
    """A tar archive with a limit on the metadata of a member, which could otherwise fill the memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.remaining: float = MAX_HEADER_BYTES
        """Bytes that may be read; infinite while the content of a member is read."""

    def read(self, size: int) -> bytes:
        # tarfile passes on a negative size, which would read the whole archive
        if not 0 <= size <= self.remaining:
            raise RejectedArchiveError(f"it has more than {MAX_HEADER_BYTES} bytes of metadata on one member")
        self.remaining -= size
        return self._stream.read(size)

    def seek(self, position: int) -> int:
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()


def _zip_members(archive: zipfile.ZipFile, n_bytes: int) -> Iterator[Member]:
    for info in archive.infolist():
        file_type = stat.S_IFMT(info.external_attr >> 16)
        if file_type not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise RejectedArchiveError(f"{info.filename!r} is a link or a device")
        if info.flag_bits & 1:
            raise RejectedArchiveError(f"{info.filename!r} is encrypted; unpack it yourself and use source: folder")
        if info.compress_type not in ZIP_METHODS:
            problem = "this compression method is not supported; unpack it yourself and use source: folder"
            raise RejectedArchiveError(f"{info.filename!r}: {problem}")
        if not 0 <= info.header_offset < n_bytes:
            raise zipfile.BadZipFile(f"{info.filename!r} is outside the archive")
        yield Member(info.filename, info.is_dir(), info.file_size, partial(archive.open, info))


def _tar_members(archive: tarfile.TarFile, stream: _LimitedMetadata) -> Iterator[Member]:
    while True:
        stream.remaining = MAX_HEADER_BYTES
        info = archive.next()
        stream.remaining = math.inf
        if info is None:
            break
        # tarfile keeps every member, with a copy of the metadata that all members share
        archive.members.clear()  # type: ignore[attr-defined]  # not in the stubs of typeshed
        if not (info.isreg() or info.isdir()):
            raise RejectedArchiveError(f"{info.name!r} is a link or a device")
        if info.issparse():
            raise RejectedArchiveError(f"{info.name!r} is a sparse file; unpack it yourself and use source: folder")
        if info.size < 0:
            # the next member would be an earlier one, again and again
            raise tarfile.ReadError(f"{info.name!r} has a negative size")
        yield Member(info.name, info.isdir(), info.size, partial(_open_tar_member, archive, info))
    _verify_end(archive)


def _open_tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    if file is None:
        raise RejectedArchiveError(f"{info.name!r} is not a file")
    return file


def _verify_end(archive: tarfile.TarFile) -> None:
    """Raise an error where tarfile mistakes a damaged header, or missing bytes, for the end of the archive."""
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("the end-of-archive marker is missing")
    # read to the last byte, because only then the checksum of a compressed archive is verified
    while archive.fileobj.read(CHUNK_BYTES):
        pass


def _path_parts(name: str) -> tuple[str, ...]:
    """Split the path of a member, which may use the separators of Windows."""
    path = PurePosixPath(name.replace("\\", "/"))
    if "\0" in name:
        raise RejectedArchiveError(f"the path {name!r} contains a null character")
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise RejectedArchiveError(f"the path {name!r} escapes the target directory (path traversal)")
    if len(path.parts) > MAX_DEPTH:
        raise RejectedArchiveError(f"the path {f'{name[:100]} …'!r} has more than {MAX_DEPTH} folders")
    return path.parts


def _target_path(parts: tuple[str, ...], subfolder: str, label_regex: str | None) -> Path | None:
    """Return the path of a file relative to the class folders, or None if it belongs to no class."""
    if label_regex is not None:
        match = re.search(label_regex, "/".join(parts))
        return Path(_validated_label(match[1]), *parts) if match else None
    above = PurePosixPath(subfolder).parts
    if parts[: len(above)] != above or len(parts) < len(above) + 2:
        return None
    return Path(*parts[len(above) :])


def _validated_label(label: str) -> str:
    try:
        return staging.validate_label(label)
    except ValueError as error:
        raise RejectedArchiveError(str(error)) from error


def _extract(member: Member, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file, member.open() as content:
            shutil.copyfileobj(content, file, CHUNK_BYTES)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise RejectedArchiveError(f"two members have the name {member.name!r}") from error
    except NotImplementedError as error:
        raise RejectedArchiveError(f"{member.name!r}: {error}; unpack it yourself and use source: folder") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise RejectedArchiveError(f"the path {member.name!r} is too long") from error
        raise
    if path.stat().st_size != member.n_bytes:
        raise EOFError(f"{member.name!r} is truncated")
