"""Labels that are left out where a chart is narrower than in print.

Rows state the width in px that a label needs and that is available in print. A page sets the parameter `ROOM` when it
fits a chart to the screen.
"""

from entr.figures.charts import Spec

ROOM = "room"
"""Parameter: the width of the panels relative to that in print."""
FITS = f"datum.needed <= datum.available * {ROOM}"
"""Filter for the labels that fit, by the columns ``needed`` and ``available``."""


def with_room(spec: Spec) -> Spec:
    """Return a chart with the parameter to which `FITS` refers."""
    return spec | {"params": [*spec.get("params", []), {"name": ROOM, "value": 1}]}
