"""One timed job on a GPU, whatever the options of snakemake: a lock for each card of the machine.

`--resources` on the command line replaces what a profile says, and then several cells would share a
card and their times would be worthless. So each job takes a free card for itself, and sees no other.
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
SECONDS_BETWEEN_TRIES = 1

_held: list[FileLock] = []
"""What this process holds until it ends; the system lets go of it even when the process is killed."""


def take() -> str | None:
    """Take a GPU for this process alone, waiting until one is free.

    To be called before torch uses a GPU, for it sets ``CUDA_VISIBLE_DEVICES``.

    Returns
    -------
    str or None
        The identifier of the card; none where there is no card.
    """
    cards = visible()
    if not cards:
        return None
    waiting = False
    while True:
        for card in cards:
            lock = FileLock(Path(tempfile.gettempdir(), f"entr-{card}.lock"), mode=0o666)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _held.append(lock)
            os.environ[VISIBLE] = card
            return card
        if not waiting:
            log.info("another job is timed on %s; waiting for a free GPU", " and on ".join(cards))
            waiting = True
        time.sleep(SECONDS_BETWEEN_TRIES)


def visible() -> list[str]:
    """Return the identifiers of the cards that this process may use, without touching them."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"],  # noqa: S607  wherever the driver put it
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    cards = dict(line.replace(" ", "").split(",") for line in listed.splitlines())
    if VISIBLE not in os.environ:
        return list(cards.values())
    chosen = []
    for name in os.environ[VISIBLE].replace(" ", "").split(","):
        # a card by number or identifier, which may be shortened, or a part of a card
        known = cards.get(name) or next((card for card in cards.values() if name and card.startswith(name)), None)
        if not known and not name.startswith("MIG-"):
            # as CUDA does: nothing after a name that is none
            break
        chosen.append(known or name)
    return chosen
