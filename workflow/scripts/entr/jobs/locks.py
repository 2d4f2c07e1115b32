"""Locks that prevent two processes from running the same job."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from entr.jobs.errors import EntrError

PATIENCE = 0.5
"""Seconds to wait for a lock, because `is_locked` holds it for a moment while it checks."""


@contextmanager
def exclusive_lock(path: str | Path, job: str) -> Iterator[None]:
    """Hold a lock while a block runs.

    Parameters
    ----------
    path : path
        The lock file; it is created, and removed afterwards. The operating system releases the lock if this process
        is killed.
    job : str
        Name of the job, for the error message.

    Raises
    ------
    EntrError
        If another process holds the lock.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise EntrError(
            f"{job} is already running in another process (possibly left over from a killed Snakemake run); wait "
            f"until it has ended, or terminate it, and run again (lock file: {path})"
        ) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def is_locked(path: str | Path) -> bool:
    """Return whether another process holds this `exclusive_lock`."""
    try:
        with open(path, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        # without flock, the file exists only while the lock is held
        return error.errno == errno.ENOSYS
    return False
