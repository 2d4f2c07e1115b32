"""Inference benchmark: latency and throughput of a model by image size, and latency of trained models.

Protocol: device-resident images, fixed threads, warm-up, and several rounds in which all cases are timed
in shuffled order, so that drift of the machine affects all of them. Latency is that of single,
synchronised calls; throughput is measured separately, by back-to-back calls with one synchronisation.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from entr.devices import torch_device
from entr.jobs.tables import write_table
from entr.models import architectures

log = logging.getLogger("entr")

CLASSES = 10
"""Outputs of a model that is not trained; their number changes the cost by less than 0.1 %."""
ROUNDS = 3
"""Rounds in which all cases are timed, each in a new order."""
MIN_CALLS = 10
"""Fewest calls per round, however long they take."""
WARM_UP_CALLS = 3
"""Calls before each round of a case."""
WARM_UP_SECONDS = 1.0
"""Duration of the calls before the first round, because the clock rates of an idle GPU rise only under load."""
PERCENTILES = (50, 95, 99)


@dataclass
class Case:
    """A model, an image size and a batch size, with their times."""

    model: nn.Module
    size: int
    batch_size: int
    latencies: list[list[float]] = field(default_factory=list)
    """Seconds of each call, by round."""
    back_to_back: list[float] = field(default_factory=list)
    """Seconds per call of back-to-back calls, by round."""
    peak_memory: int = 0
    """Most bytes allocated on a GPU."""


def benchmark_model(
    model: str,
    sizes: Sequence[int],
    destination: str | Path,
    *,
    batch_sizes: Sequence[int],
    min_seconds: float,
    device: str,
    precision: str,
    tf32: bool,
) -> None:
    """Benchmark a model at each image size with each batch size.

    Parameters
    ----------
    model : str
        A model of torchvision or timm; its weights are random, which does not affect the times.
    sizes : sequence of int
        Sides of the images in px.
    destination : path
        CSV file with one row per image size and batch size: see `_row`, and the parameters and multiply-adds per
        image of the model.
    batch_sizes : sequence of int
        Images per call.
    min_seconds : float
        Time to spend on latency, and again on throughput, per image size and batch size.
    device, precision : str
        As in `torch_device.choose_device` and `torch_device.choose_precision`.
    tf32 : bool
        As in `torch_device.configure_kernels`.

    Raises
    ------
    EntrError
        If the device is missing or does not support the precision.
    """
    on = torch_device.choose_device(device)
    built = _prepare(architectures.build_model(model, CLASSES), on)
    cases = {
        f"{model}, {size} px, batch size {images}": Case(built, size, images)
        for size, images in product(sizes, batch_sizes)
    }
    machine = _time_alternately(cases, min_seconds, on, precision, tf32=tf32)
    parameters = sum(parameter.numel() for parameter in built.parameters())
    costs = {size: {"parameters": parameters, "multiply_adds": _multiply_adds(built, size, on)} for size in sizes}
    rows = [{"model": model} | _row(case) | costs[case.size] | machine for case in cases.values()]
    write_table(pd.DataFrame(rows), destination)


def benchmark_trained(
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
    """Benchmark the trained model of each regime with one image, at the final size of the regime.

    Parameters
    ----------
    dataset, model : str
        Those of the cells.
    trained : mapping of str to path
        The trained model of each regime.
    sizes : mapping of str to int
        Side in px that each regime ends with.
    destination : path
        CSV file with one row per regime.
    min_seconds, device, precision, tf32
        As in `benchmark_model`.

    Raises
    ------
    EntrError
        As in `benchmark_model`, or if a file does not hold a trained model.
    """
    on = torch_device.choose_device(device)
    cases = {
        regime: Case(_prepare(architectures.load_trained(path)[0], on), sizes[regime], batch_size=1)
        for regime, path in trained.items()
    }
    machine = _time_alternately(cases, min_seconds, on, precision, tf32=tf32)
    key = {"dataset": dataset, "model": model}
    rows = [key | {"regime": regime} | _row(case) | machine for regime, case in cases.items()]
    write_table(pd.DataFrame(rows), destination)


def _prepare(model: nn.Module, device: torch.device) -> nn.Module:
    return model.eval().to(device, memory_format=torch.channels_last)


def _time_alternately(
    cases: Mapping[str, Case], seconds: float, device: torch.device, precision: str, *, tf32: bool
) -> dict[str, Any]:
    """Time all cases in rounds of shuffled order, and return what they ran on."""
    torch_device.configure_kernels(tf32=tf32, deterministic=False)
    chosen = torch_device.choose_precision(precision, device)
    order = random.Random(0)
    _warm_up(next(iter(cases.values())), device, chosen)
    for _ in range(ROUNDS):
        for case in order.sample(list(cases.values()), len(cases)):
            _time(case, seconds / ROUNDS, device, chosen)
    for name, case in cases.items():
        row = _row(case)
        log.info(
            "%s: p50 latency %.3g ms, %.3g images/s, rounds within %.0f %%",
            *(name, 1e3 * row["p50_seconds"], row["images_per_second"], 100 * row["spread_of_rounds"]),
        )
    return {"precision": chosen, "device": torch_device.device_name(device), "threads": torch.get_num_threads()}


@torch.inference_mode()
def _warm_up(case: Case, device: torch.device, precision: str) -> None:
    """Keep a GPU busy until its clock rates have risen; a CPU needs single calls only."""
    seconds = WARM_UP_SECONDS if device.type == "cuda" else 0
    _latencies(_predictor(case, device, precision), seconds, device)


def _predictor(case: Case, device: torch.device, precision: str) -> Callable[[], None]:
    """Return a function that predicts a random batch as in the forward pass of training."""
    batch = torch.rand(case.batch_size, 3, case.size, case.size, device=device).to(memory_format=torch.channels_last)

    def predict() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            case.model(batch)

    return predict


@torch.inference_mode()
def _time(case: Case, seconds: float, device: torch.device, precision: str) -> None:
    """Add a round to a case: single calls, then back-to-back calls."""
    others = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        # the models of the other cases are on the device, too
        own = sum(tensor.nbytes for tensor in case.model.state_dict().values())
        others = torch.cuda.memory_allocated(device) - own
    predict = _predictor(case, device, precision)
    for _ in range(WARM_UP_CALLS):
        predict()
    torch_device.synchronize(device)
    case.latencies.append(_latencies(predict, seconds, device))
    # it synchronises, and chooses how many calls make a block
    timer = Timer("predict()", globals={"predict": predict}, num_threads=torch.get_num_threads())
    case.back_to_back.append(timer.blocked_autorange(min_run_time=seconds).median)
    if device.type == "cuda":
        case.peak_memory = max(case.peak_memory, torch.cuda.max_memory_allocated(device) - others)


def _latencies(predict: Callable[[], None], seconds: float, device: torch.device) -> list[float]:
    latencies: list[float] = []
    while len(latencies) < MIN_CALLS or sum(latencies) < seconds:
        begin = time.perf_counter()
        predict()
        torch_device.synchronize(device)
        latencies.append(time.perf_counter() - begin)
    return latencies


def _row(case: Case) -> dict[str, Any]:
    """Return the latency, the throughput and the spread of a case.

    ``p50_seconds``, ``p95_seconds`` and ``p99_seconds`` are percentiles of single calls;
    ``seconds_per_image`` and ``images_per_second`` come from back-to-back calls, medians over rounds;
    ``spread_of_rounds`` is the largest difference between the medians of rounds, relative to the median.
    """
    calls = np.concatenate(case.latencies)
    medians = [float(np.median(latencies)) for latencies in case.latencies]
    seconds_per_image = float(np.median(case.back_to_back)) / case.batch_size
    return {
        "size": case.size,
        "batch_size": case.batch_size,
        "calls": len(calls),
        **{f"p{percentile}_seconds": float(np.percentile(calls, percentile)) for percentile in PERCENTILES},
        "seconds_per_image": seconds_per_image,
        "images_per_second": 1 / seconds_per_image,
        "spread_of_rounds": (max(medians) - min(medians)) / float(np.median(calls)),
        "peak_memory_mb": case.peak_memory / 1e6 or None,
    }


def _multiply_adds(model: nn.Module, size: int, device: torch.device) -> int:
    """Count multiply-adds per image with torch's counter, which counts each as two operations."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, size, size, device=device))
    return counter.get_total_flops() // 2
