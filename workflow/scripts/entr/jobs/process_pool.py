"""Pool of worker processes in a job."""

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor


def process_pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool of forked processes.

    From Python 3.14 on, other methods are the default. They import the main file in each process, and the script of a
    Snakemake job would then run again.

    Parameters
    ----------
    processes : int
        Number of processes.
    """
    # the default handler of signals: the one of `configure_logging` raises an exception, which would not end a worker
    return ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("fork"),
        initializer=signal.signal,
        initargs=(signal.SIGTERM, signal.SIG_DFL),
    )
