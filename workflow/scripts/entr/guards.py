"""Clear errors, logs, whole files and checksums: what every job needs around its work."""

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from filelock import FileLock, Timeout

log = logging.getLogger("entr")


class EntrError(Exception):
    """A mistake that the user can mend; its text says what is wrong, where, and what to do."""


def report_to(log_file: str | Path) -> None:
    """Send log records and warnings to the terminal and a file, tracebacks to the file alone.

    Snakemake's ``log:`` directive redirects nothing by itself, so each script calls this
    first. An uncaught `EntrError` reaches the terminal as one sentence; any other exception as
    one sentence that names the log.

    Parameters
    ----------
    log_file : path
        Created with its folder; overwritten.
    """
    path = Path(log_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(path, mode="w", encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    log.handlers[:] = [to_file, to_terminal]
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").handlers[:] = [to_file]

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.removeHandler(to_terminal)
        known = isinstance(error, EntrError)
        message = str(error) if known else f"{kind.__name__}: {error}{_what_to_do(error)}"
        log.error("%s", message, exc_info=(kind, error, trace))
        print(f"Error: {message}" + ("" if known else f" (the traceback is in {path})"), file=sys.stderr)

    sys.excepthook = uncaught


def _what_to_do(error: BaseException) -> str:
    """Return advice on what a file system refuses; what was finished is kept."""
    advice = {
        errno.ENOSPC: "make room on that disk",
        errno.EDQUOT: "your quota there is used up: make room",
        errno.EROFS: "that file system is read-only: take another folder for results",
        errno.EACCES: "you may not write there: change its permissions",
    }
    wanted = advice.get(error.errno) if isinstance(error, OSError) else None
    return f"; {wanted} and run again, what is finished is kept" if wanted else ""


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a file that appears under its name only when it is whole.

    The text or bytes go to a file beside it, reach the disk, and are renamed; after an
    exception the old file, if any, is untouched and nothing else is left.

    Parameters
    ----------
    path : path
        The file to make; its folder is made too.
    mode : {"w", "wb"}
        Text is UTF-8 with Unix line ends.

    Raises
    ------
    OSError
        When the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with tempfile.NamedTemporaryFile(
            mode, dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False, **text
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
        # a full disk does not say which file it refuses, neither to writing nor to closing
        if error.errno and not error.filename:
            error.filename = str(path)
        raise


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder that takes the name `path` only when the block has ended well.

    No other process makes the same folder meanwhile, and what a killed one left of it is removed.

    Raises
    ------
    EntrError
        When another process makes it.
    OSError
        When the folder beside it cannot be made or renamed.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    with exclusive(path.with_name(f".{path.name}.lock"), f"what makes {path}"):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
            if path.exists():
                shutil.rmtree(path)
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def exclusive(path: str | Path, what: str) -> Iterator[None]:
    """Keep every other process from the same work while a block runs.

    Parameters
    ----------
    path : path
        A file that is made and locked; the system unlocks it when this process is killed.
    what : str
        The work, for the message.

    Raises
    ------
    EntrError
        When another process is at it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        # not at once, for `held` has it for a moment when it looks
        lock.acquire(timeout=0.5)
    except Timeout as error:
        raise EntrError(
            f"{what} is at work in another process, which a snakemake that was killed may have left; wait until it "
            f"has ended, or end it, and run again (it holds {path})"
        ) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def held(path: str | Path) -> bool:
    """Tell whether a process is at the work that `exclusive` keeps for it by this file."""
    try:
        with open(path, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
