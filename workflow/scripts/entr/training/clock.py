"""Clocks: where the time of a cell goes.

Every duration is measured by a monotonic clock, which neither setting the system clock nor daylight saving changes.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from fastai.callback.core import Callback

from entr.devices import torch_device
from entr.jobs.process import process_age
from entr.metrics.cell_metrics import Seconds


@dataclass
class Clock:
    """Seconds per part of the wall time."""

    device: torch.device
    started: float = field(default_factory=time.perf_counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    earlier: float = 0.0
    """Seconds of earlier, interrupted processes of the same cell."""

    @classmethod
    def from_process_start(cls, device: torch.device) -> "Clock":
        """Return a clock that includes the time in which Python and its packages were loaded."""
        age = process_age()
        clock = cls(device, time.perf_counter() - age)
        clock.seconds["starting"] = age
        return clock

    def now(self) -> float:
        """Return the seconds since the clock started, once the device has finished."""
        torch_device.synchronize(self.device)
        return self.host_now()

    def host_now(self) -> float:
        """Return the seconds since the clock started, without waiting for the device."""
        return time.perf_counter() - self.started

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Add the duration of a block to a part of the wall time."""
        begin = self.now()
        yield
        self.seconds[part] += self.now() - begin

    def resume(self, seconds: Mapping[str, float], wall: float) -> None:
        """Add the time of an interrupted process up to its last checkpoint."""
        for part, value in seconds.items():
            self.seconds[part] += value
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
    """Timing of training and validation of each epoch, before any other callback runs."""

    order = -100

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def before_train(self) -> None:  # noqa: D102
        self.begin = self.clock.now()

    def after_train(self) -> None:  # noqa: D102
        self.issue_seconds = self.clock.host_now() - self.begin
        self.training_seconds = self.clock.now() - self.begin
        self.clock.seconds["training"] += self.training_seconds

    def is_launch_bound(self, steps: int) -> bool:
        """Tell whether the device waited for the host: at the end it had less than a step left to compute.

        Otherwise the host is ahead by what the queue of the device holds, which is about a thousand kernels.
        """
        on_gpu = self.clock.device.type == "cuda"
        return on_gpu and steps * (self.training_seconds - self.issue_seconds) < self.training_seconds

    def before_validate(self) -> None:  # noqa: D102
        self.begin = self.clock.now()

    def after_validate(self) -> None:  # noqa: D102
        self.validation_seconds = self.clock.now() - self.begin
        self.clock.seconds["validation"] += self.validation_seconds
