"""Learning-rate schedules."""

import numpy as np
from fastai.callback.schedule import SchedCos
from numpy.typing import NDArray

ROUNDING = 1e-9
"""Epochs by which a position may miss the start of a cycle through rounding."""


class CosineRestarts:
    """Cosine annealing with warm restarts, as a schedule for fastai's `ParamScheduler`.

    As fastai 0.7's ``cycle_len`` and ``cycle_mult`` (SGDR, Loshchilov & Hutter 2017, arXiv 1608.03983).
    fastai 2's `fit_sgdr` divides by zero for cycles of equal length.

    Parameters
    ----------
    learning_rates : tuple of float
        Learning rate of each layer group at the start of a cycle.
    lengths : tuple of int
        Epochs per cycle.
    """

    def __init__(self, learning_rates: tuple[float, ...], lengths: tuple[int, ...]) -> None:
        self.cosine = SchedCos(np.array(learning_rates), np.zeros(len(learning_rates)))
        self.ends = np.cumsum(lengths)

    def __call__(self, position: float) -> NDArray[np.float64]:
        """Return the learning rates at a fraction of the phase, in [0, 1]."""
        epoch = position * self.ends[-1]
        cycle = min(int(np.searchsorted(self.ends, epoch + ROUNDING, side="right")), len(self.ends) - 1)
        begin = self.ends[cycle - 1] if cycle else 0
        return self.cosine(max(0.0, epoch - begin) / (self.ends[cycle] - begin))
