"""The device that a job runs on: choice, precision, kernels, memory and name."""

import ctypes
import logging
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import torch

from entr.devices import gpu_lock
from entr.jobs.errors import EntrError
from entr.metrics.cell_metrics import Environment

log = logging.getLogger("entr")

FRACTION_FOR_IMAGES = 0.4
"""Fraction of a GPU's free memory that images may take: a dataset is there as it is stored and at one
size, and the model needs the rest."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Options of `mallopt(3)`, from glibc's ``malloc.h``."""
NO_GPU = {"", "-1", "NoDevFiles"}
"""Values of ``CUDA_VISIBLE_DEVICES`` that hide all GPUs."""


def choose_device(requested: str) -> torch.device:
    """Return the device to use, with a GPU locked for this process, and log it.

    Parameters
    ----------
    requested : {"auto", "cuda", "cpu"}
        ``auto`` uses a GPU if there is one.

    Raises
    ------
    EntrError
        If a GPU is requested and there is none; the CPU is never a silent fallback.
    """
    if requested != "cpu":
        gpu_lock.acquire_gpu()
    if requested == "cuda" and not torch.cuda.is_available():
        raise EntrError("training.device is cuda, but torch sees no GPU here; set it to auto or cpu")
    device = torch.device("cuda" if requested != "cpu" and torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        log.info("device: GPU %s", device_name(device))
        return device
    if requested != "cpu" and os.environ.get("CUDA_VISIBLE_DEVICES", "") not in NO_GPU:
        log.warning(
            "device: this job was given a GPU (CUDA_VISIBLE_DEVICES=%s), but torch sees none; check that the driver "
            "and the CUDA version of torch match",
            os.environ["CUDA_VISIBLE_DEVICES"],
        )
    retain_freed_memory()
    log.info("device: running on CPU (%s, %d threads)", device_name(device), torch.get_num_threads())
    return device


def retain_freed_memory() -> None:
    """Let the allocator retain large freed blocks, which glibc returns to the kernel and faults in again.

    That saves a fifth to a third of a training step on a CPU, and increases peak memory up to 1.5
    times. With another C library nothing changes, and the log says so.
    """
    mallopt = getattr(ctypes.pythonapi, "mallopt", None)
    if mallopt is None or not (mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1)):
        log.info("device: freed memory cannot be retained with this C library; training steps may take longer")


def choose_precision(requested: str, device: torch.device) -> str:
    """Return the precision of the forward pass on a device, and log it.

    Parameters
    ----------
    requested : {"auto", "float32", "bf16"}
        ``auto`` uses bf16 on a GPU that supports it.
    device : torch.device
        Where the forward pass runs.

    Returns
    -------
    str
        ``"float32"`` or ``"bf16"``.

    Raises
    ------
    EntrError
        If bf16 is requested and the device does not support it.
    """
    supported = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if requested == "bf16" and not supported:
        raise EntrError(
            f"training.precision is bf16, which {device_name(device)} does not support; set it to auto or float32"
        )
    precision = "bf16" if supported and requested != "float32" else "float32"
    log.info("precision: %s", precision)
    return precision


def configure_kernels(*, tf32: bool, deterministic: bool) -> None:
    """Choose the kernels of a GPU; without effect on a CPU, which is deterministic anyway.

    If an operation has no deterministic kernel, as the gradient of adaptive max pooling, torch warns
    in the log.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        # read when the first product is computed
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # only if that changes anything, because this function imports torch's compiler
    if deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(deterministic, warn_only=True)


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def has_memory_for(device: torch.device, n_bytes: int) -> bool:
    """Tell whether a GPU has memory for images of this many bytes next to a model; a CPU always has."""
    if device.type != "cuda":
        return True
    # memory that torch has reserved and not allocated is free for torch
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return n_bytes < FRACTION_FOR_IMAGES * (torch.cuda.mem_get_info(device)[0] + reserved)


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe_environment(device: torch.device) -> Environment:
    """Return the machine and the software that a result was made with."""
    return Environment(
        device=device_name(device),
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
