"""What predicting costs: a network at a size, and the finished networks; the basis of two readings of *T*.

Protocol: pixels that already lie on the device, fixed threads, warm-up, every case in each of several
rounds whose order is shuffled, so that a drift of the machine falls on all of them. Latency is that of
single calls, each waited for; throughput is measured apart, by calls back to back with one wait.
"""

import logging
import random
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from entr import devices, networks
from entr.guards import atomic_write

log = logging.getLogger("entr")

CLASSES = 10
"""Outputs of a network that is timed before any is trained; their number changes its cost by less than
one part in a thousand."""
ROUNDS = 3
"""How often the order of the cases is shuffled and gone through."""
FEWEST_CALLS = 10
"""Calls in each round, however long they take."""
WARM_UP_CALLS = 3


@dataclass
class Case:
    """A network and how many images of what size it predicts at once."""

    network: nn.Module
    size: int
    batch_size: int
    latencies: list[list[float]] = field(default_factory=list)
    """Seconds of each call, by round."""
    back_to_back: list[float] = field(default_factory=list)
    """Seconds a call when they follow each other, by round."""
    peak_memory: int = 0
    """Most bytes allocated on a GPU."""


def benchmark(
    model: str,
    size: int,
    destination: str | Path,
    *,
    batch_sizes: Sequence[int],
    min_seconds: float,
    device: str,
    precision: str,
    tf32: bool,
) -> None:
    """Time a network at a size, in all batch sizes.

    Parameters
    ----------
    model : str
        A network of torchvision or timm; its weights are random, which changes nothing.
    size : int
        Side of the images in px.
    destination : path
        CSV file with one row a batch size: see `_row`, and the network's parameters and multiply-adds
        an image.
    batch_sizes : sequence of int
        Images at once.
    min_seconds : float
        Time to spend on latency, and again on throughput, for each batch size.
    device, precision : str
        As in `devices.choose` and `devices.precision`.
    tf32 : bool
        As in `devices.set_kernels`.

    Raises
    ------
    EntrError
        When there is no such device, or it has not this precision.
    """
    where = devices.choose(device)
    network = networks.build(model, CLASSES)
    cases = {images: Case(_ready(network, where), size, images) for images in batch_sizes}
    machine = _time_in_turn(cases, min_seconds, where, precision, tf32=tf32)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    of_network = {"parameters": parameters, "multiply_adds": _multiply_adds(network, size, where)}
    _write([{"model": model} | _row(case) | of_network | machine for case in cases.values()], destination)


def benchmark_finished(
    dataset: str,
    model: str,
    trained: Mapping[str, str | Path],
    sizes: Mapping[str, int],
    destination: str | Path,
    *,
    min_seconds: float,
    device: str,
    precision: str,
    tf32: bool,
) -> None:
    """Time one image through the finished network of each regime, at the size that the regime ends with.

    Parameters
    ----------
    dataset, model : str
        Of the cells that left the networks.
    trained : mapping of str to path
        The file of each regime's network.
    sizes : mapping of str to int
        Side in px that each regime ends with.
    destination : path
        CSV file with one row a regime.
    min_seconds, device, precision, tf32
        As in `benchmark`.

    Raises
    ------
    EntrError
        Likewise, or when a file holds no finished network.
    """
    where = devices.choose(device)
    cases = {
        regime: Case(_ready(networks.finished(path)[0], where), sizes[regime], batch_size=1)
        for regime, path in trained.items()
    }
    machine = _time_in_turn(cases, min_seconds, where, precision, tf32=tf32)
    rows = [
        {"dataset": dataset, "model": model, "regime": regime} | _row(case) | machine for regime, case in cases.items()
    ]
    _write(rows, destination)


def _ready(network: nn.Module, device: torch.device) -> nn.Module:
    return network.eval().to(device, memory_format=torch.channels_last)


def _time_in_turn(
    cases: Mapping[Hashable, Case], seconds: float, device: torch.device, precision: str, *, tf32: bool
) -> dict[str, Any]:
    """Time all cases in rounds of shuffled order, and return what they ran on."""
    devices.set_kernels(tf32=tf32, deterministic=False)
    numbers = devices.precision(precision, device)
    order = random.Random(0)
    for _ in range(ROUNDS):
        for case in order.sample(list(cases.values()), len(cases)):
            _time(case, seconds / ROUNDS, device, numbers)
    for key, case in cases.items():
        row = _row(case)
        log.info(
            "%s: %d px, batches of %d: %.3g ms a call (p50), %.3g images a second, rounds within %.0f %%",
            key, case.size, case.batch_size,
            1e3 * row["p50_seconds"], row["images_per_second"], 100 * row["spread_of_rounds"],
        )  # fmt: skip
    return {"precision": numbers, "device": devices.name(device), "threads": torch.get_num_threads()}


@torch.inference_mode()
def _time(case: Case, seconds: float, device: torch.device, precision: str) -> None:
    """Add a round to a case: single calls, then calls back to back."""
    batch = torch.rand(case.batch_size, 3, case.size, case.size, device=device).to(memory_format=torch.channels_last)

    def predict() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            case.network(batch)

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(WARM_UP_CALLS):
        predict()
    devices.synchronize(device)
    case.latencies.append(_latencies(predict, seconds, device))
    # synchronises, and chooses how many calls make a block
    timer = Timer("predict()", globals={"predict": predict}, num_threads=torch.get_num_threads())
    case.back_to_back.append(timer.blocked_autorange(min_run_time=seconds).median)
    if device.type == "cuda":
        case.peak_memory = max(case.peak_memory, torch.cuda.max_memory_allocated(device))


def _latencies(predict: Callable[[], None], seconds: float, device: torch.device) -> list[float]:
    found = []
    while len(found) < FEWEST_CALLS or sum(found) < seconds:
        begin = time.perf_counter()
        predict()
        devices.synchronize(device)
        found.append(time.perf_counter() - begin)
    return found


def _row(case: Case) -> dict[str, Any]:
    """Return seconds a call, images a second and how much the rounds differ.

    ``p50_seconds``, ``p95_seconds``, ``p99_seconds`` are of single calls of a batch; ``seconds_an_image``
    and ``images_per_second`` of calls back to back, medians over rounds; ``spread_of_rounds`` is the
    largest difference between the medians of rounds, as a share.
    """
    calls = np.concatenate(case.latencies)
    medians = [float(np.median(one)) for one in case.latencies]
    seconds_an_image = float(np.median(case.back_to_back)) / case.batch_size
    return {
        "size": case.size,
        "batch_size": case.batch_size,
        "calls": len(calls),
        **{f"p{share}_seconds": float(np.percentile(calls, share)) for share in (50, 95, 99)},
        "seconds_an_image": seconds_an_image,
        "images_per_second": 1 / seconds_an_image,
        "spread_of_rounds": (max(medians) - min(medians)) / float(np.median(calls)),
        "peak_memory_mb": case.peak_memory / 1e6 or None,
    }


def _multiply_adds(network: nn.Module, size: int, device: torch.device) -> int:
    """Count by torch's own counter, which counts a multiply-add as two operations."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, size, size, device=device))
    return counter.get_total_flops() // 2


def _write(rows: list[dict[str, Any]], destination: str | Path) -> None:
    with atomic_write(destination) as file:
        pd.DataFrame(rows).to_csv(file, index=False)
