"""Exclusive use of a GPU: a lock per GPU of the machine, whatever Snakemake's options are.

`--resources` on the command line replaces those of the profile. Several cells would then share a GPU,
and their times would be meaningless. So each timed job locks a free GPU and sees no other.
"""

import logging
import os
import subprocess
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger("entr")

VISIBLE = "CUDA_VISIBLE_DEVICES"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  shared on purpose
SECONDS_BETWEEN_TRIES = 0.1
SECONDS_FOR_LISTING = 60
"""Timeout of ``nvidia-smi``, which can hang with a broken driver."""

_locks: dict[str, FileLock] = {}
"""The GPU that this process has locked, until it ends; the system releases it even if the process is killed."""


def acquire_gpu() -> str | None:
    """Lock a GPU for this process, waiting until one is free.

    To be called before torch uses a GPU, because it sets ``CUDA_VISIBLE_DEVICES``. A process that
    already has a GPU keeps it.

    Returns
    -------
    str or None
        The identifier of the GPU; None if there is none.
    """
    if _locks:
        return next(iter(_locks))
    gpus = visible_gpus()
    if not gpus:
        return None
    waiting = False
    while True:
        for gpu in gpus:
            lock = FileLock(lock_folder() / f"entr-{gpu}.lock", mode=0o666)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _locks[gpu] = lock
            os.environ[VISIBLE] = gpu
            return gpu
        if not waiting:
            log.info("GPU lock: waiting for %s, used by another timed job", " or ".join(gpus))
            waiting = True
        time.sleep(SECONDS_BETWEEN_TRIES)


def lock_folder() -> Path:
    """Return the directory of the locks: that of shared memory, because `TMPDIR` may differ between jobs."""
    return SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


def visible_gpus() -> list[str]:
    """Return the identifiers of the GPUs that this process may use, without initialising CUDA."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"],  # noqa: S607  wherever the driver put it
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS_FOR_LISTING,
        ).stdout
    except FileNotFoundError:
        return []
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("GPU lock: nvidia-smi failed (%s); GPUs are not locked", error)
        return []
    gpus = dict(line.replace(" ", "").split(",") for line in listing.splitlines())
    if VISIBLE not in os.environ:
        return list(gpus.values())
    chosen = []
    for name in os.environ[VISIBLE].replace(" ", "").split(","):
        # by index or identifier, which may be abbreviated, or a MIG slice
        known = gpus.get(name) or next((gpu for gpu in gpus.values() if name and gpu.startswith(name)), None)
        if not known and not name.startswith("MIG-"):
            # like CUDA: ignore everything after an invalid name
            break
        chosen.append(known or name)
    return chosen
