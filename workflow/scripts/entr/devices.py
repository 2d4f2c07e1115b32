"""The device that a job runs on: choosing it, waiting for it, and naming it."""

import logging
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from entr.guards import EntrError
from entr.measures import Environment

log = logging.getLogger("entr")


def choose(wanted: str) -> torch.device:
    """Return the device to use, and say so.

    Parameters
    ----------
    wanted : {"auto", "cuda", "cpu"}
        ``auto`` takes a GPU where there is one.

    Raises
    ------
    EntrError
        When a GPU is asked for and there is none; the processor never stands in for it in silence.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EntrError("training.device is cuda, but torch sees no GPU here; set it to auto or cpu")
    device = torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        log.info("on the processor: %s, %d threads", name(device), torch.get_num_threads())
    else:
        log.info("on the GPU: %s", name(device))
    return device


def name(device: torch.device) -> str:
    """Return the name of a GPU, or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all its work, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe(device: torch.device) -> Environment:
    """Return what a result has to say of the machine and the software."""
    return Environment(
        device=name(device),
        device_type=device.type,
        threads=torch.get_num_threads(),
        python=platform.python_version(),
        **{package: version(package) for package in ("torch", "torchvision", "fastai")},
    )
