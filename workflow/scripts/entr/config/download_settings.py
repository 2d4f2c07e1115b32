"""Settings of downloads: timeouts, retries, parallel connections and size limits."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from entr.config.base import Section

IN_URL_LISTS = {"max_link_bytes", "max_failed_fraction"}
"""The settings that also determine which images of a URL list are used, and therefore make results stale."""


class DownloadSettings(Section):
    """Settings of downloads.

    Those in `IN_URL_LISTS` determine which images a dataset contains; all others only whether a download succeeds.
    """

    timeout: PositiveFloat = 30
    """Seconds without data, without complete headers, or below `min_speed`, after which an attempt is aborted."""
    min_speed: NonNegativeFloat = 1000
    """Minimum speed in bytes per second."""
    retries: NonNegativeInt = 4
    """Retries per URL after a temporary failure, such as a broken connection or a busy server."""
    backoff: NonNegativeFloat = 1
    """Seconds before the first retry; doubled before each further one."""
    connections: PositiveInt = 16
    """Parallel downloads for a URL list."""
    connections_per_host: PositiveInt = 2
    """Parallel downloads for a URL list from one host."""
    max_bytes: PositiveInt = 50_000_000_000
    """Maximum size in bytes of a download, and of the extracted content of an archive."""
    max_files: PositiveInt = 1_000_000
    """Maximum number of files in an archive."""
    max_link_bytes: PositiveInt = 100_000_000
    """Maximum size in bytes of one image in a URL list."""
    max_failed_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Maximum fraction of the URLs in a list that may fail; the run stops if more do."""


def redact_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, any of which may be secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(invalid URL)"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
