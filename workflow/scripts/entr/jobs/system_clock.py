"""A system clock that was set back: files that seem to have been written in the future."""

import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from entr.jobs.errors import EntrError

TOLERANCE = 60
"""Seconds by which the clocks of a cluster may differ."""


def refuse_files_from_the_future(paths: Iterable[str | Path]) -> None:
    """Raise an error if an input of a job is newer than the present, because its outputs would be discarded.

    Snakemake discards outputs that are older than an input, but only when they are finished.

    Parameters
    ----------
    paths : iterable of path
        Existing files.

    Raises
    ------
    EntrError
        If a file is newer by more than the tolerance.
    """
    for path in paths:
        ahead = Path(path).stat().st_mtime - time.time()
        if ahead > TOLERANCE:
            raise EntrError(
                f"{path} was modified in the future ({timedelta(seconds=round(ahead))} from now): the system clock has "
                "been set back since then, and Snakemake would discard the results of this job as outdated. Correct "
                "the clock; if it is right now, run the same command once with --touch --forceall. Then run it again"
            )
