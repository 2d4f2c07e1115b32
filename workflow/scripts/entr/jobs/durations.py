"""Durations as text."""

SECONDS_PER_MINUTE, SECONDS_PER_HOUR = 60, 3600


def format_duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours."""
    if seconds < SECONDS_PER_MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < SECONDS_PER_HOUR:
        return f"{round(seconds / SECONDS_PER_MINUTE)} min"
    return f"{seconds / SECONDS_PER_HOUR:.1f} h"
