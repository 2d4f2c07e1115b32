"""What a download may cost, and when it is given up."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from entr.section import Section

IN_LISTS = {"max_link_bytes", "max_dead"}


class Limits(Section):
    """Patience, politeness and sizes of downloads.

    They decide whether one succeeds; `IN_LISTS` decide also which images of a list there are.
    """

    timeout: PositiveFloat = 30
    """Seconds without a byte, or below `min_speed`, after which an attempt is given up."""
    min_speed: NonNegativeFloat = 1000
    """Bytes a second."""
    retries: NonNegativeInt = 4
    """Attempts after the first at each address, where another may help: a broken connection, a
    server that is busy."""
    backoff: NonNegativeFloat = 1
    """Seconds before the first of these attempts; doubled before each further one."""
    connections: PositiveInt = 16
    """Links of a list that are fetched at once."""
    connections_per_host: PositiveInt = 2
    """Links of a list that are fetched at once from one host."""
    max_bytes: PositiveInt = 50_000_000_000
    """Largest download, and largest content of an archive, in bytes."""
    max_files: PositiveInt = 1_000_000
    """Most files in an archive."""
    max_link_bytes: PositiveInt = 100_000_000
    """Largest image behind a link of a list, in bytes."""
    max_dead: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Largest share of a list's links that may give no image; above it the run stops."""
