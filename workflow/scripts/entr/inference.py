"""What one image costs to predict, for a network at a size: the basis of two readings of *T*."""

import itertools
import logging
import random
from pathlib import Path

import pandas as pd
import torch
from torch.utils.benchmark import Measurement, Timer
from torch.utils.flop_counter import FlopCounterMode

from entr import devices, networks
from entr.guards import atomic_write

log = logging.getLogger("entr")

CLASSES = 10
"""Outputs of the timed network; their number changes its cost by less than one part in a thousand."""
ROUNDS = 3
"""How often the order of sizes and batch sizes is shuffled and gone through."""


def benchmark(
    model: str, sizes: list[int], destination: str | Path, *, batch_sizes: list[int], min_seconds: float, device: str
) -> None:
    """Time a network's forward pass on random pixels that already lie on the device.

    All sizes and batch sizes are timed in turn, in an order that is shuffled for each of several
    rounds, so that a drift of the machine falls on all of them.

    Parameters
    ----------
    model : str
        A network of torchvision.
    sizes : list of int
        Sides of the images in px.
    destination : path
        CSV file with one row a size and batch size: median and interquartile range in seconds a
        batch, seconds an image, images a second, the largest difference between the medians of
        rounds as a share, parameters, multiply-adds an image, device, threads.
    batch_sizes : list of int
        Images at once.
    min_seconds : float
        Time to spend on each size and batch size.
    device : {"auto", "cuda", "cpu"}
        As in `devices.choose`.

    Raises
    ------
    EntrError
        When there is no such device.
    """
    where = devices.choose(device)
    network = networks.build(model, CLASSES).eval().to(where, memory_format=torch.channels_last)
    cases = list(itertools.product(sizes, batch_sizes))
    timed: dict[tuple[int, int], list[Measurement]] = {case: [] for case in cases}
    order = random.Random(0)
    for _ in range(ROUNDS):
        for size, images in order.sample(cases, len(cases)):
            timed[size, images].append(_time(network, size, images, min_seconds / ROUNDS, where))
    machine = {"device": devices.name(where), "threads": torch.get_num_threads()}
    parameters = sum(parameter.numel() for parameter in network.parameters())
    rows = [
        {"model": model, "size": size, "batch_size": images, **_statistics(timed[size, images], images)}
        | {"parameters": parameters, "multiply_adds": _multiply_adds(network, size, where), **machine}
        for size, images in cases
    ]
    for row in rows:
        log.info(
            "%s: %d px, batches of %d: %.3g ms an image, rounds within %.0f %%",
            model, row["size"], row["batch_size"], 1e3 * row["seconds_an_image"], 100 * row["spread_of_rounds"],
        )  # fmt: skip
    with atomic_write(destination) as file:
        pd.DataFrame(rows).to_csv(file, index=False)


def _multiply_adds(network: torch.nn.Module, size: int, device: torch.device) -> int:
    """Count by torch's own counter, which counts a multiply-add as two operations."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, size, size, device=device))
    return counter.get_total_flops() // 2


@torch.inference_mode()
def _time(network: torch.nn.Module, size: int, images: int, seconds: float, device: torch.device) -> Measurement:
    batch = torch.rand(images, 3, size, size, device=device).to(memory_format=torch.channels_last)
    names = {"network": network, "batch": batch}
    # warms up, synchronises, and repeats until the time is spent
    timer = Timer("network(batch)", globals=names, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=seconds)


def _statistics(rounds: list[Measurement], images: int) -> dict[str, float]:
    (together,) = Measurement.merge(rounds)
    medians = [one.median for one in rounds]
    return {
        "seconds_a_batch": together.median,
        "interquartile_range": together.iqr,
        "seconds_an_image": together.median / images,
        "images_per_second": images / together.median,
        "spread_of_rounds": (max(medians) - min(medians)) / together.median,
    }
