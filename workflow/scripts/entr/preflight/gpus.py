"""GPUs of this machine, and whether torch can use them.

The facts come from ``nvidia-smi`` where possible, because a CUDA context of this process would take memory and perturb
a cell that is being timed.
"""

import os
import re
import subprocess
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.filesize import decimal

from entr.devices import gpu_lock
from entr.devices.torch_device import FRACTION_FOR_IMAGES
from entr.jobs.errors import one_line
from entr.preflight.findings import Finding, Status

FIELDS = ("uuid", "name", "driver_version", "memory.total", "compute_cap")
"""What ``nvidia-smi`` is asked for; drivers from before 2021 do not know the last one."""
SECONDS_FOR_LISTING = 20
"""Timeout of ``nvidia-smi``, which can hang with a broken driver."""
NVIDIA, DISPLAY = "0x10de", "0x03"
"""Vendor, and begin of the class, of a GPU on the PCI bus."""
BF16_CAPABILITY = 8.0
"""Smallest compute capability with native bf16."""
USE_CPU = "--config \"training={'device': 'cpu'}\""


@dataclass(frozen=True)
class Gpu:
    """A GPU, as ``nvidia-smi`` describes it."""

    uuid: str
    name: str
    driver: str
    n_bytes: int | None
    """Memory; None if the GPU has none of its own."""
    capability: float | None
    """Compute capability, such as 8.6; None if the driver does not state it."""


class ListingError(Exception):
    """``nvidia-smi`` is installed and fails."""


def list_gpus() -> list[Gpu]:
    """Return the GPUs of this machine; none if there is no driver.

    Raises
    ------
    ListingError
        With the message of ``nvidia-smi``.
    """
    for fields in (FIELDS, FIELDS[:-1]):
        try:
            done = subprocess.run(  # noqa: S603  no shell
                ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],  # noqa: S607
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS_FOR_LISTING,
            )
        except FileNotFoundError:
            return []
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ListingError(one_line(error)) from error
        if done.returncode == 0:
            return [_parse_gpu(line) for line in done.stdout.splitlines() if line.strip()]
    raise ListingError(" ".join((done.stdout + done.stderr).split()) or f"exit status {done.returncode}")


def _parse_gpu(line: str) -> Gpu:
    uuid, name, driver, memory, *capability = (value.strip() for value in line.split(","))
    return Gpu(
        uuid,
        name,
        driver,
        int(memory) * 2**20 if memory.isdecimal() else None,
        float(capability[0]) if capability and re.fullmatch(r"\d+\.\d+", capability[0]) else None,
    )


def check_torch() -> Finding:
    """Return the version of torch, and the CUDA version that it was built for."""
    return Finding(
        "torch", f"{torch.__version__} ({f'CUDA {torch.version.cuda}' if torch.version.cuda else 'CPU only'})"
    )


def is_used(devices: Collection[str]) -> bool:
    """Tell whether cells with these settings ``training.device`` run on a GPU."""
    return set(devices) != {"cpu"} and torch.cuda.is_available()


def check_gpus(
    devices: Collection[str], precisions: Collection[str], image_bytes: int, cell_bytes: int
) -> list[Finding]:
    """Find GPUs that cells cannot use, and those that are too small.

    Parameters
    ----------
    devices, precisions : collection of str
        The settings ``training.device`` and ``training.precision`` of the grid.
    image_bytes : int
        Bytes of the largest set of images that a cell keeps on the GPU.
    cell_bytes : int
        Bytes that a cell takes at least.
    """
    if set(devices) == {"cpu"}:
        return [Finding("GPU", "not used, because training.device is cpu")]
    # without a GPU, a run fails if it asks for one, and uses the CPU otherwise
    severity: Status = "problem" if "cuda" in devices else "warning"
    try:
        gpus = list_gpus()
    except ListingError as error:
        detail = f"nvidia-smi fails: {str(error)[:200]}"
        return [
            Finding("GPU", detail, severity, f"reload or reinstall the NVIDIA driver; to use the CPU, add {USE_CPU}")
        ]
    if not gpus:
        return [_check_without_driver("cuda" in devices)]
    visible = gpu_lock.visible_gpus()
    if not visible:
        detail = f"{len(gpus)}, hidden by {gpu_lock.VISIBLE}={os.environ.get(gpu_lock.VISIBLE, '')!r}"
        return [Finding("GPU", detail, severity, f"unset {gpu_lock.VISIBLE}; to use the CPU, add {USE_CPU}")]
    if problem := _why_torch_cannot_use(gpus[0]):
        detail, remedy = problem
        return [Finding("GPU", detail, severity, f"{remedy}; to use the CPU, add {USE_CPU}")]
    # MIG slices have identifiers of their own
    used = [gpu for gpu in gpus if gpu.uuid in visible] or gpus
    return [_check_gpu(gpu, "bf16" in precisions, image_bytes, cell_bytes) for gpu in used]


def _check_without_driver(is_required: bool) -> Finding:
    """Describe a machine without ``nvidia-smi``."""
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
        detail = f"{names}, but nvidia-smi is missing, so that GPUs are not locked: cells could share one"
        return Finding(
            "GPU", detail, "warning", "install nvidia-smi, which belongs to the driver, or run one cell at a time"
        )
    if has_pci_gpu():
        status: Status = "problem" if is_required else "warning"
        return Finding(
            "GPU", "an NVIDIA GPU without a driver", status, f"install the NVIDIA driver; to use the CPU, add {USE_CPU}"
        )
    if is_required:
        remedy = "set training.device: auto, or use a machine with an NVIDIA GPU"
        return Finding("GPU", "none, but training.device is cuda", "problem", remedy)
    return Finding("GPU", "none; cells are trained on the CPU")


def has_pci_gpu(bus: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Tell whether there is an NVIDIA GPU on the PCI bus, with or without a driver."""
    return any(
        file.read_text().strip() == NVIDIA and file.with_name("class").read_text().startswith(DISPLAY)
        for file in bus.glob("*/vendor")
    )


def _why_torch_cannot_use(gpu: Gpu) -> tuple[str, str] | None:
    """Return why torch can use no GPU, and the remedy; None if it can."""
    if torch.version.cuda is None:
        return f"{gpu.name}, but this build of torch is for CPUs only", "run `make install`"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
    reason = f": {one_line(caught[0].message, 120)}" if caught and isinstance(caught[0].message, Warning) else ""
    detail = f"{gpu.name}, driver {gpu.driver}, which torch for CUDA {torch.version.cuda} cannot use{reason}"
    return detail, f"update the NVIDIA driver to one for CUDA {torch.version.cuda} or newer"


def _check_gpu(gpu: Gpu, needs_bf16: bool, image_bytes: int, cell_bytes: int) -> Finding:
    memory = decimal(gpu.n_bytes) if gpu.n_bytes else "shared memory"
    found = f"{gpu.name}, {memory}, driver {gpu.driver}"
    if gpu.capability is not None and not is_supported(gpu.capability, torch.cuda.get_arch_list()):
        detail = f"{found}: this build of torch has no kernels for its compute capability {gpu.capability}"
        return Finding("GPU", detail, "problem", f"hide it with {gpu_lock.VISIBLE}, or add {USE_CPU}")
    if needs_bf16 and gpu.capability is not None and gpu.capability < BF16_CAPABILITY:
        return Finding("GPU", f"{found}: it has no bf16", "problem", "set training.precision to auto or float32")
    if gpu.n_bytes and cell_bytes > gpu.n_bytes:
        detail = f"{found}; a cell takes about {decimal(cell_bytes)} in float32"
        return Finding("GPU", detail, "warning", "if a cell is out of memory, set training.gradient_accumulation: 2")
    if gpu.n_bytes and image_bytes > FRACTION_FOR_IMAGES * gpu.n_bytes:
        detail = f"{found}; images take {decimal(image_bytes)}, so they stay in host memory, which is slower"
        return Finding("GPU", detail, "warning", "lower scale, or use a GPU with more memory")
    return Finding("GPU", found)


def is_supported(capability: float, architectures: Sequence[str]) -> bool:
    """Tell whether a build of torch has kernels for a compute capability.

    Parameters
    ----------
    capability : float
        Such as 8.6.
    architectures : sequence of str
        As from `torch.cuda.get_arch_list`. ``sm_80`` runs on capabilities 8.0 to 8.9, and ``compute_80`` is compiled
        for any later one.
    """
    for architecture in architectures:
        kind, _, digits = architecture.partition("_")
        number = int(re.sub(r"\D", "", digits)) / 10
        if number <= capability and (kind == "compute" or int(number) == int(capability)):
            return True
    return False
