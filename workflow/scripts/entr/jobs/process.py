"""The age of this process, by a clock that nobody sets."""

import os
import time
from pathlib import Path

START_FIELD = 19
"""Position of the start time in ``/proc/self/stat`` after the name of the program, in clock ticks since boot."""


def process_age() -> float:
    """Return the seconds since this process started.

    The difference between the system clock and the start of the process would change whenever the system clock is set.
    """
    # the name of the program may contain spaces and parentheses
    fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    started = int(fields[START_FIELD]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
