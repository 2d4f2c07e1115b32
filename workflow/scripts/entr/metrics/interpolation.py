"""Costs at image sizes that were not measured."""

from collections.abc import Mapping

import numpy as np


def interpolate_cost(size: int, costs: Mapping[int, float]) -> float:
    """Return the cost of an image at a size, linear in the number of pixels between the measured sizes.

    Parameters
    ----------
    size : int
        Image side in px. Beyond the measured sizes, the cost of the nearest one is returned.
    costs : mapping of int to float
        Measured costs by image side in px.
    """
    sides = sorted(costs)
    return float(np.interp(size**2, np.square(sides), [costs[side] for side in sides]))
