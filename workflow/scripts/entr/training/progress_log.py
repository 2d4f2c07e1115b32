"""Progress of a cell in the log, with an estimate of the remaining time."""

import logging

from entr.config.training_plan import PhasePlan, Plan
from entr.metrics.cell_metrics import Cell
from entr.training.cell_state import CellState
from entr.training.clock import Clock

log = logging.getLogger("entr")

SECONDS_BETWEEN_LINES = 20
"""Interval of the lines within a long epoch."""


class Progress:
    """Log lines that state which cell is training, its epoch, its accuracy and the remaining time.

    Parameters
    ----------
    cell, plan : Cell, Plan
        Which cell, and how it is trained.
    clock : Clock
        The clock of the cell.
    state : CellState
        Holds the epoch and the work done so far.
    """

    def __init__(self, cell: Cell, plan: Plan, clock: Clock, state: CellState) -> None:
        self.cell, self.plan, self.clock, self.state = cell, plan, clock, state
        self.last_line = clock.now()
        self.total_work = sum(relative_work(phase, epoch) for phase in plan.phases for epoch in range(phase.epochs))

    def is_due(self) -> bool:
        """Tell whether the last line is long ago, without waiting for the device."""
        return self.clock.host_now() > self.last_line + SECONDS_BETWEEN_LINES

    def log(self, phase: PhasePlan, size: int, text: str) -> None:
        """Log one line."""
        self.last_line = self.clock.now()
        log.info(
            "%s: %s at %d px, epoch %d of %d: %s%s",
            *(self.cell, phase.phase, size, self.state.epoch, self.plan.epochs, text, self._remaining()),
        )

    def _remaining(self) -> str:
        """Return the estimated remaining time, once an epoch is finished."""
        done = self.state.work_done
        if not done:
            return ""
        seconds = int(self.last_line / done * (self.total_work - done))
        return f", about {seconds // 60}:{seconds % 60:02d} min left"


def relative_work(phase: PhasePlan, epoch: int) -> float:
    """Return the work of an epoch relative to others: a step of all layers costs three forward passes."""
    return phase.input_size_in(epoch) ** 2 * (3 if phase.layers == "all" else 1)
