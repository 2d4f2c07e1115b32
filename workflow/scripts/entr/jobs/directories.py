"""Directories that are complete or absent."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entr.jobs.locks import exclusive_lock


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty directory that replaces `path` only after the block has completed.

    A lock prevents two processes from making the same directory. Remains of a killed process are removed.

    Raises
    ------
    EntrError
        If another process is making this directory.
    OSError
        If the directory cannot be created or renamed.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    with exclusive_lock(path.with_name(f".{path.name}.lock"), f"the job that makes {path}"):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
            if path.exists():
                shutil.rmtree(path)
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
