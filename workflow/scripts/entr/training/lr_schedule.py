"""Learning-rate schedules."""

from typing import Literal

import numpy as np
from fastai.callback.schedule import SchedCos, SchedLin
from numpy.typing import NDArray

ROUNDING = 1e-9
"""Epochs by which a position may miss the start of a cycle through rounding."""


class CyclicSchedule:
    """Annealing with warm restarts, as a schedule for fastai's `ParamScheduler`.

    By default as fastai 0.7's ``cycle_len`` and ``cycle_mult``, cosine annealing to zero (SGDR, Loshchilov & Hutter
    2017, arXiv 1608.03983). fastai 2's `fit_sgdr` divides by zero for cycles of equal length.

    Parameters
    ----------
    learning_rates : tuple of float
        Learning rate of each layer group, before it is multiplied by a factor.
    lengths : tuple of int
        Epochs per cycle.
    factors : tuple of float
        Factors of the learning rates at the start and at the end of a cycle.
    anneal : {"cosine", "linear"}
        Shape of the learning rate between them.
    """

    def __init__(
        self,
        learning_rates: tuple[float, ...],
        lengths: tuple[int, ...],
        factors: tuple[float, float] = (1, 0),
        anneal: Literal["cosine", "linear"] = "cosine",
    ) -> None:
        rates, (start, end) = np.array(learning_rates), factors
        self.curve = (SchedCos if anneal == "cosine" else SchedLin)(start * rates, end * rates)
        self.ends = np.cumsum(lengths)

    def __call__(self, position: float) -> NDArray[np.float64]:
        """Return the learning rates at a fraction of the phase, in [0, 1]."""
        epoch = position * self.ends[-1]
        cycle = min(int(np.searchsorted(self.ends, epoch + ROUNDING, side="right")), len(self.ends) - 1)
        begin = self.ends[cycle - 1] if cycle else 0
        return self.curve(max(0.0, epoch - begin) / (self.ends[cycle] - begin))
