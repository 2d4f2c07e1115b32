"""Atomic writing of files, and their checksums."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a file that replaces `path` only after it has been written completely.

    The content is written to a temporary file in the same directory, flushed to the disk, and renamed. After an
    exception, the previous file, if any, is unchanged, and the temporary file is removed.

    Parameters
    ----------
    path : path
        The file to write; its directory is created.
    mode : {"w", "wb"}
        Text is written in UTF-8 with Unix line endings.

    Raises
    ------
    OSError
        If the directory is not writable or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_text = "b" not in mode
    part = None
    try:
        with tempfile.NamedTemporaryFile(
            mode,
            dir=path.parent,
            prefix=f".{path.name}.",
            suffix=".part",
            delete=False,
            encoding="utf-8" if is_text else None,
            newline="\n" if is_text else None,
        ) as file:
            part = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        # closed first, because Windows cannot rename an open file
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except BaseException as error:
        if part:
            part.unlink(missing_ok=True)
        # the error of a full disk names no file, neither on writing nor on closing
        if isinstance(error, OSError) and error.errno and not error.filename:
            error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
