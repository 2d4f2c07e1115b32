"""Logging of a job: everything to its log file, and errors as one sentence to the terminal."""

import errno
import logging
import os
import signal
import sys
from pathlib import Path
from types import TracebackType

from entr.jobs.errors import EntrError

log = logging.getLogger("entr")

# when torch imports it, it warns of a machine that has the CUDA toolkit but no GPU
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

REMEDIES = {
    errno.ENOSPC: "free some space on this disk",
    errno.EDQUOT: "disk quota exceeded: free some space",
    errno.EROFS: "this file system is read-only: choose another results directory",
    errno.EACCES: "permission denied: change the permissions",
}
"""What to do about an error of the file system."""

VERBOSE = "ENTR_VERBOSE"
"""Environment variable that, if it is not empty, makes every job write its log to the terminal as well."""


def configure_logging(log_file: str | Path, *, terminal: bool = False) -> None:
    """Send log messages to a file, and on request to the terminal.

    Each script calls this first, because Snakemake's ``log:`` directive redirects nothing by itself. An uncaught
    `EntrError` is printed to the terminal as one sentence; any other exception as one sentence that names the log.

    Parameters
    ----------
    log_file : path
        Created with its directory; overwritten.
    terminal : bool
        Whether the job reports to a person: its messages are what was asked for.
    """
    path = Path(log_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(path, mode="w", encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    log.handlers[:] = [to_file, to_terminal] if terminal or os.environ.get(VERBOSE) else [to_file]
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").handlers[:] = [to_file]

    def report_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.removeHandler(to_terminal)
        is_known = isinstance(error, EntrError)
        message = str(error) if is_known else f"{kind.__name__}: {error}{_remedy(error)}"
        log.error("%s", message, exc_info=(kind, error, trace))
        print(f"Error: {message}" + ("" if is_known else f" (the traceback is in {path})"), file=sys.stderr)

    sys.excepthook = report_uncaught
    signal.signal(signal.SIGTERM, _exit_on_termination)


def _exit_on_termination(*_: object) -> None:
    """Exit through an exception, so that partial files are removed; by default, SIGTERM ends Python without cleanup.

    SLURM terminates jobs at their time limit, and may signal twice.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # only a warning: the executor reports the cause, for example a time limit
    log.warning("terminated")
    sys.exit(128 + signal.SIGTERM)


def _remedy(error: BaseException) -> str:
    remedy = REMEDIES.get(error.errno or 0) if isinstance(error, OSError) else None
    return f"; {remedy} and run again; finished results are kept" if remedy else ""
