"""What listens while fastai trains: clocks, sizes, rates, progress and history; all of it callbacks."""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.schedule import SchedCos
from fastai.data.core import DataLoaders
from numpy.typing import NDArray
from torch import Tensor

from entr import devices
from entr.guards import EntrError
from entr.measures import Cell, Seconds
from entr.regimes import Plan, Step

log = logging.getLogger("entr")

SECONDS_BETWEEN_LINES = 20
"""A person who watches hears of a long epoch this often."""


@dataclass
class Clock:
    """Seconds by what they were spent on; the device has finished whenever it is read."""

    device: torch.device
    started: float = field(default_factory=time.perf_counter)
    seconds: Counter[str] = field(default_factory=Counter)
    earlier: float = 0.0
    """Seconds of earlier processes of the same cell, which were killed."""

    @classmethod
    def since_the_process_began(cls, device: torch.device) -> "Clock":
        """Return a clock that has run while Python and its packages were loaded."""
        age = time.time() - psutil.Process().create_time()
        return cls(device, time.perf_counter() - age, Counter(starting=age))

    def now(self) -> float:
        """Return seconds since the clock began."""
        devices.synchronize(self.device)
        return time.perf_counter() - self.started

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Add the time that a block takes."""
        begin = self.now()
        yield
        self.seconds[what] += self.now() - begin

    def go_on(self, seconds: dict[str, float], wall: float) -> None:
        """Add the time that a job spent which was killed; what it had not finished is lost and not counted."""
        self.seconds.update(seconds)
        self.started -= wall
        self.earlier = wall

    @property
    def training(self) -> float:
        """*T* so far: seconds in training steps and in the resizing that they need."""
        return self.seconds["training"] + self.seconds["resize"]

    def summary(self) -> Seconds:
        """Return all parts and their sum."""
        wall = self.now()
        parts = {name: self.seconds[name] for name in Seconds.model_fields if name not in {"other", "wall"}}
        return Seconds(**parts, other=max(0.0, wall - sum(parts.values())), wall=wall)


class EpochClock(Callback):
    """Time training and validation of each epoch apart; before every other callback."""

    order = -100

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def before_train(self) -> None:  # noqa: D102
        self.begin = self.clock.now()

    def after_train(self) -> None:  # noqa: D102
        self.training_seconds = self.clock.now() - self.begin
        self.clock.seconds["training"] += self.training_seconds

    def before_validate(self) -> None:  # noqa: D102
        self.begin = self.clock.now()

    def after_validate(self) -> None:  # noqa: D102
        self.validation_seconds = self.clock.now() - self.begin
        self.clock.seconds["validation"] += self.validation_seconds


class Progress:
    """Tell a person which cell trains, how far it is, how well, and how long it will take."""

    def __init__(self, cell: Cell, plan: Plan, clock: Clock) -> None:
        self.cell, self.plan, self.clock = cell, plan, clock
        self.epoch, self.work_done, self.said = 0, 0.0, clock.now()
        self.work = sum(_work(step, epoch) for step in plan.steps for epoch in range(step.epochs))

    def is_due(self) -> bool:
        """Tell whether a person has waited long; without waiting for the device."""
        return time.perf_counter() - self.clock.started > self.said + SECONDS_BETWEEN_LINES

    def say(self, step: Step, size: int, text: str) -> None:
        """Log one line."""
        self.said = self.clock.now()
        log.info(
            "%s: %s at %d px, epoch %d of %d: %s%s",
            self.cell, step.phase, size, self.epoch, self.plan.epochs, text, self._left(),
        )  # fmt: skip

    def _left(self) -> str:
        """Say how long the rest will take, once an epoch has shown how fast the machine is."""
        if not self.work_done:
            return ""
        seconds = self.said / self.work_done * (self.work - self.work_done)
        return f", about {int(seconds) // 60}:{int(seconds) % 60:02d} min left"


def _work(step: Step, epoch: int) -> float:
    """Return what an epoch costs relative to others: a step through all layers is thrice a forward pass."""
    return step.shown_in(epoch) ** 2 * (3 if step.layers == "all" else 1)


class SizeByEpoch(Callback):
    """Give each epoch the batches of its size; before the clock of its training starts."""

    order = -101

    def __init__(self, loaders: Sequence[DataLoaders]) -> None:
        self.loaders = loaders

    def before_epoch(self) -> None:  # noqa: D102
        self.learn.dls = self.loaders[self.epoch]


class CompiledSteps(Callback):
    """Use what is compiled in training alone: every other batch size and mode would be compiled anew."""

    order = -102

    def before_train(self) -> None:  # noqa: D102
        torch.compiler.set_stance("default")

    def before_validate(self) -> None:  # noqa: D102
        torch.compiler.set_stance("force_eager")


def board(folder: Path) -> Callback:
    """Return fastai's callback for TensorBoard, writing after each epoch alone: steps are timed.

    Raises
    ------
    EntrError
        When TensorBoard is not installed.
    """
    try:
        from fastai.callback.tensorboard import TensorBoardCallback  # noqa: PLC0415  no dependency of ours
    except ImportError as error:
        raise EntrError(
            f"logging is tensorboard, but {error.name} is not installed: `uv pip install tensorboard`, or set "
            "logging: none"
        ) from error

    class AfterEpochs(TensorBoardCallback):
        def after_batch(self) -> None:
            """Write nothing within the time that is measured."""

    return AfterEpochs(folder, trace_model=False, log_preds=False)


class Steps(Callback):
    """Keep a row for each training step: what schedule was really followed."""

    order = 60

    def __init__(self, step: Step, rows: list[dict[str, Any]], progress: Progress) -> None:
        self.step, self.rows, self.progress = step, rows, progress

    def before_train(self) -> None:  # noqa: D102
        self.taken: list[dict[str, Any]] = []
        self.losses: list[Tensor] = []

    def after_step(self) -> None:  # noqa: D102
        early, late, head = self.opt.hypers
        self.taken.append(
            {
                "size": self.xb[0].shape[-1],
                "rate_early": early["lr"],
                "rate_late": late["lr"],
                "learning_rate": head["lr"],
                "momentum": head["mom"],
            }
        )
        self.losses.append(self.loss.detach())

    def after_train(self) -> None:  # noqa: D102
        shared = {"phase": self.step.phase, "epoch": self.progress.epoch}
        # one wait for the device, after the clock has stopped
        for row, loss in zip(self.taken, torch.stack(self.losses).tolist(), strict=True):
            self.rows.append({"step": len(self.rows) + 1, **shared, **row, "loss": loss})


class History(Callback):
    """Keep a row for each epoch and tell the person who watches; after fastai's recorder."""

    order = 70

    def __init__(self, step: Step, rows: list[dict[str, Any]], progress: Progress) -> None:
        self.step, self.rows, self.progress = step, rows, progress

    def before_epoch(self) -> None:  # noqa: D102
        self.progress.epoch += 1

    def after_batch(self) -> None:  # noqa: D102
        if self.iter == 0 and self.training:
            self.rate = self.opt.hypers[-1]["lr"]
        if self.training and self.progress.is_due():
            self.progress.say(self.step, self._size(), f"{100 * (self.iter + 1) / self.n_iter:.0f} % of the epoch")

    def _size(self) -> int:
        return self.step.shown_in(self.epoch)

    def after_epoch(self) -> None:  # noqa: D102
        train_loss, valid_loss, share = self.recorder.final_record
        clock = self.learn.epoch_clock  # fastai names a callback so
        train = self.dls.train
        images = len(train) // train.parts * train.bs
        self.rows.append(
            {
                "epoch": self.progress.epoch,
                "phase": self.step.phase,
                "size": self._size(),
                "layers": self.step.layers,
                "learning_rate": self.rate,
                "training_loss": train_loss,
                "validation_loss": valid_loss,
                "accuracy": share,
                "training_seconds": clock.training_seconds,
                "validation_seconds": clock.validation_seconds,
                "images_per_second": images / clock.training_seconds,
            }
        )
        if not math.isfinite(train_loss):
            # a clear error is raised outside: fastai would wrap it in words of its own
            raise CancelFitException
        self.progress.work_done += _work(self.step, self.epoch)
        self.progress.say(
            self.step,
            self._size(),
            f"loss {train_loss:.3f} training, {valid_loss:.3f} validation, accuracy {100 * share:.1f} %",
        )


class cosine_restarts:  # noqa: N801  a schedule, called like fastai's own
    """Learning rates that fall along a cosine to zero in each cycle and start again.

    As fastai 0.7's ``cycle_len`` and ``cycle_mult`` (Loshchilov & Hutter 2017, arXiv
    1608.03983). fastai 2's `fit_sgdr` divides by zero for cycles of equal length.

    Parameters
    ----------
    rates : tuple of float
        Rate of each layer group at the start of a cycle.
    lengths : tuple of int
        Epochs in each cycle.
    """

    def __init__(self, rates: tuple[float, ...], lengths: tuple[int, ...]) -> None:
        self.cosine = SchedCos(np.array(rates), np.zeros(len(rates)))
        self.ends = np.cumsum(lengths)

    def __call__(self, position: float) -> NDArray[np.float64]:
        """Return the rates at a share of the phase, in [0, 1]."""
        epoch = position * self.ends[-1]
        cycle = min(int(np.searchsorted(self.ends, epoch, side="right")), len(self.ends) - 1)
        begin = self.ends[cycle - 1] if cycle else 0
        return self.cosine((epoch - begin) / (self.ends[cycle] - begin))
