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
    try:
        with tempfile.NamedTemporaryFile(
            mode,
            dir=path.parent,
            prefix=f".{path.name}.",
            suffix=".part",
            delete=False,
            encoding="utf-8" if is_text else None,
            newline="\n" if is_text else None,
        ) as part:
            try:
                yield part
                part.flush()
                os.fsync(part.fileno())
                Path(part.name).chmod(0o666 & ~_umask())
                Path(part.name).replace(path)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        # the error of a full disk names no file, neither on writing nor on closing
        if error.errno and not error.filename:
            error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
