"""The device that a job runs on: choosing it, waiting for it, and naming it."""

import ctypes
import logging
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from entr import gpus
from entr.guards import EntrError
from entr.measures import Environment

log = logging.getLogger("entr")

SHARE_FOR_IMAGES = 0.4
"""Of the free memory of a GPU that images may take: a dataset lies there as it is stored and at one size,
and the network wants the rest."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of glibc's ``malloc.h``, for `mallopt(3)`."""


def choose(wanted: str) -> torch.device:
    """Return the device to use, a GPU for this process alone, and say so.

    Parameters
    ----------
    wanted : {"auto", "cuda", "cpu"}
        ``auto`` takes a GPU where there is one.

    Raises
    ------
    EntrError
        When a GPU is asked for and there is none; the processor never stands in for it in silence.
    """
    if wanted != "cpu":
        gpus.take()
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EntrError("training.device is cuda, but torch sees no GPU here; set it to auto or cpu")
    device = torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        if wanted != "cpu" and os.environ.get("CUDA_VISIBLE_DEVICES", "") not in {"", "-1", "NoDevFiles"}:
            log.warning(
                "this job was given a GPU (CUDA_VISIBLE_DEVICES=%s), but torch sees none: its driver or this torch "
                "does not fit", os.environ["CUDA_VISIBLE_DEVICES"],
            )  # fmt: skip
        keep_freed_memory()
        log.info("on the processor: %s, %d threads", name(device), torch.get_num_threads())
    else:
        log.info("on the GPU: %s", name(device))
    return device


def keep_freed_memory() -> None:
    """Let this process use large blocks of memory again, which glibc would give back to the kernel and fault in anew.

    That is a fifth to a third of a training step on a processor; the peak of memory is up to 1.5 times as
    high. Another C library is left as it is, which the log says.
    """
    mallopt = getattr(ctypes.pythonapi, "mallopt", None)
    if mallopt is None or not (mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1)):
        log.info("freed memory cannot be kept with this C library: training steps may take longer")


def precision(wanted: str, device: torch.device) -> str:
    """Return the precision of the forward pass on a device, and say so.

    Parameters
    ----------
    wanted : {"auto", "float32", "bf16"}
        ``auto`` takes bf16 on a GPU that computes with it.
    device : torch.device
        Where the pass runs.

    Returns
    -------
    str
        ``"float32"`` or ``"bf16"``.

    Raises
    ------
    EntrError
        When bf16 is asked for and the device is not made for it.
    """
    able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "bf16" and not able:
        raise EntrError(f"training.precision is bf16, for which {name(device)} is not made; set it to auto or float32")
    found = "bf16" if able and wanted != "float32" else "float32"
    log.info("precision: %s", found)
    return found


def set_kernels(*, tf32: bool, deterministic: bool) -> None:
    """Choose how a GPU computes; without effect on a processor, which is deterministic by itself.

    Where there is no kernel that gives the same digits in each run, as for the gradient of adaptive
    maximum pooling, torch warns in the log.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        # read when the first product is computed
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)


def compile_steps(network: nn.Module, mode: str) -> None:
    """Let torch compile a network when it is first called with a size or a choice of layers.

    Parameters
    ----------
    network : nn.Module
        Compiled in place; the names of its tensors stay.
    mode : str
        A mode of `torch.compile`. Kernels lie in torch's own cache, so that the next cell finds them.
    """
    # a cell has more sizes and choices of layers than torch expects, and would run the rest as it is
    torch._dynamo.config.recompile_limit = 64
    # not network.compile, which makes a graph of each block where one of the whole network can be had
    network.forward = torch.compile(network.forward, mode=mode, dynamic=False)
    log.info("training steps are compiled: %s", mode)


def name(device: torch.device) -> str:
    """Return the name of a GPU, or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def has_room(device: torch.device, size: int) -> bool:
    """Tell whether a device holds so many bytes beside a network at work; a processor holds what the host does."""
    return device.type != "cuda" or size < SHARE_FOR_IMAGES * torch.cuda.mem_get_info(device)[0]


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
        driver=_driver() if device.type == "cuda" else "",
        python=platform.python_version(),
        **{package: version(package) for package in ("torch", "torchvision", "fastai")},
    )


def _driver() -> str:
    """Return the versions of CUDA and of the GPU's driver."""
    file = Path("/proc/driver/nvidia/version")
    found = re.search(r"Kernel Module[^\n]*?(\d+(?:\.\d+)+)", file.read_text()) if file.exists() else None
    return f"CUDA {torch.version.cuda}, driver {found[1] if found else 'unknown'}"
