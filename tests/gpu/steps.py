"""Timing of training steps: until the device has finished, until the host has issued the work, and host waits."""

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from fastai.callback.core import Callback, CancelValidException
from gpu.cells import CellHarness
from torch import nn

from entr.config.training import Layers
from entr.devices import torch_device
from entr.models import architectures

LAUNCH_BOUND = 0.9
"""Fraction of the duration of a step from which on issuing it counts as the bottleneck."""


@dataclass(frozen=True)
class StepSeconds:
    """Seconds per training step, averaged over an epoch."""

    total: float
    """Until the device has finished."""
    issue: float
    """Until the host has issued all work to the device."""


class TrainingTimer(Callback):
    """Timer of the training part of an epoch, which skips validation."""

    order = -100  # before other callbacks

    def before_train(self) -> None:
        torch_device.synchronize(self.dls.device)
        self.begin = time.perf_counter()

    def after_train(self) -> None:
        issued = time.perf_counter() - self.begin
        torch_device.synchronize(self.dls.device)
        steps = len(self.dls.train)
        self.seconds = StepSeconds((time.perf_counter() - self.begin) / steps, issued / steps)

    def before_validate(self) -> None:
        raise CancelValidException


class EpochBoundaryHook(Callback):
    """Hook that is called before the first and after the last training step of an epoch."""

    order = 1000  # after other callbacks

    def __init__(self, hook: Callable[[], None]) -> None:
        self.hook = hook

    def before_batch(self) -> None:
        if self.training and self.iter == 0:
            self.hook()

    def after_batch(self) -> None:
        if self.training and self.iter == self.n_iter - 1:
            self.hook()


def time_epoch(harness: CellHarness, layers: Layers) -> StepSeconds:
    """Time an epoch of a cell as ENTR runs it."""
    timer = TrainingTimer()
    harness.train_epoch(layers, timer)
    return timer.seconds


class Floor:
    """The same steps in plain torch: forward pass, backward pass and optimizer on one random batch on the device.

    Parameters
    ----------
    model : str
        Name of the model.
    n_classes, batch_size : int
        Number of classes, and of images per step.
    device : torch.device
        Where the steps run.
    precision : {"float32", "bf16"}
        Precision of the forward pass.
    """

    def __init__(self, model: str, n_classes: int, batch_size: int, device: torch.device, precision: str) -> None:
        self.model = architectures.build_model(model, n_classes, dropout=0.5)
        self.model.to(device, memory_format=torch.channels_last)
        self.device, self.precision, self.batch_size = device, precision, batch_size
        self.target = torch.randint(n_classes, (batch_size,), device=device)

    def time_steps(self, size: int, layers: Layers, steps: int) -> StepSeconds:
        """Time some steps on images of one size."""
        shape = (self.batch_size, 3, size, size)
        batch = torch.randn(shape, device=self.device).to(memory_format=torch.channels_last)
        backbone = self.model[0]
        backbone.requires_grad_(layers == "all")
        self.model.train()
        if layers == "head":
            backbone.eval()
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(trainable, 1e-3, momentum=0.9, fused=self.device.type == "cuda")
        criterion = nn.CrossEntropyLoss()
        torch_device.synchronize(self.device)
        begin = time.perf_counter()
        for _ in range(steps):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                loss = criterion(self.model(batch), self.target)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        issued = time.perf_counter() - begin
        torch_device.synchronize(self.device)
        return StepSeconds((time.perf_counter() - begin) / steps, issued / steps)


def time_alternately(functions: Mapping[str, Callable[[], StepSeconds]], rounds: int) -> dict[str, StepSeconds]:
    """Call functions in turn and return the medians over rounds; an additional first round warms up."""
    timings = [{name: function() for name, function in functions.items()} for _ in range(rounds + 1)][1:]
    return {
        name: StepSeconds(
            median(timing[name].total for timing in timings), median(timing[name].issue for timing in timings)
        )
        for name in functions
    }


def count_host_waits(harness: CellHarness, layers: Layers) -> Counter[str]:
    """Count how often the host waits for the GPU between the first and the last step of an epoch, by source line."""
    with _record_sync_warnings() as recorded:
        counts: list[int] = []
        harness.train_epoch(layers, TrainingTimer(), EpochBoundaryHook(lambda: counts.append(len(recorded))))
    first, last = counts
    return Counter(f"{Path(warning.filename).name}:{warning.lineno}" for warning in recorded[first:last])


@contextmanager
def _record_sync_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Record torch's warnings of synchronisation; other warnings are rare, and are recorded as well."""
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield recorded
        finally:
            torch.cuda.set_sync_debug_mode("default")


def speed_row(harness: CellHarness, floor: Floor, size: int, layers: Layers, rounds: int) -> dict[str, object]:
    """Return a row of the table of training speeds."""
    harness.set_image_size(size)
    steps = harness.steps_per_epoch
    timings = time_alternately(
        {"entr": lambda: time_epoch(harness, layers), "floor": lambda: floor.time_steps(size, layers, steps)}, rounds
    )
    entr, plain_torch = timings["entr"], timings["floor"]
    on_gpu = harness.device.type == "cuda"
    launch_bound = "yes" if entr.issue > LAUNCH_BOUND * entr.total else "no"
    return {
        "model": harness.model,
        "precision": harness.precision,
        "layers": layers,
        "size (px)": size,
        "images/s": round(floor.batch_size / entr.total),
        "floor images/s": round(floor.batch_size / plain_torch.total),
        "fraction of floor": round(plain_torch.total / entr.total, 2),
        "ms per step": round(1e3 * entr.total, 2),
        "ms to issue a step": round(1e3 * entr.issue, 2),
        "floor ms per step": round(1e3 * plain_torch.total, 2),
        "floor ms to issue a step": round(1e3 * plain_torch.issue, 2),
        "launch-bound": launch_bound if on_gpu else None,
        "host waits per step": round(count_host_waits(harness, layers).total() / steps, 2) if on_gpu else None,
    }
