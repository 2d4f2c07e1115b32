"""Cores, memory and disk of this machine, within the limits of its control groups, compared with what a run needs."""

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import joblib
import psutil
from rich.filesize import decimal

from entr.preflight.findings import Finding

OUTPUT_CACHE = "SNAKEMAKE_OUTPUT_CACHE"
"""Environment variable with the folder that several checkouts share."""
RETAINED = 2
"""Ratio of the peak memory of a cell on a CPU to the estimate: the allocator retains freed blocks, see
docs/measures.md. Peaks of 1.3 to 1.9 times the estimate were measured."""


def check_cores(used: int) -> Finding:
    """Compare the cores that a run uses with those that this process may use, see `joblib.cpu_count`.

    Snakemake's ``--cores all`` ignores a quota of CPU time, such as that of a container.
    """
    usable = joblib.cpu_count()
    if used > usable:
        return Finding(
            "cores",
            f"a run uses {used}, but only {usable} are available to it; times would be longer and less reproducible",
            "warning",
            f"add `--cores {usable}`",
        )
    return Finding("cores", f"{used} of {usable}")


def check_memory(needed: int, *, on_gpu: bool) -> Finding:
    """Compare the memory of this machine with the estimate for a cell.

    Parameters
    ----------
    needed : int
        Bytes that a cell takes at least.
    on_gpu : bool
        Whether a GPU holds the model and its batches; the estimate is then exact, otherwise see `RETAINED`.
    """
    memory = psutil.virtual_memory()
    total = min(memory.total, *cgroup_memory_limits())
    available = min(memory.available, total)
    found = f"{decimal(available)} available of {decimal(total)}; a cell takes at least {decimal(needed)}"
    smaller = "set training.gradient_accumulation: 2, or lower training.batch_size or scale"
    if needed > total:
        return Finding("memory", found, "problem", f"use a machine with more memory; or {smaller}")
    if needed * (1 if on_gpu else RETAINED) > available:
        return Finding("memory", f"{found}, perhaps twice that", "warning", f"end other programs; or {smaller}")
    return Finding("memory", found)


def cgroup_memory_limits(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> Iterator[int]:
    """Yield the memory limits in bytes of the control groups of this process, of version 1 or 2.

    Parameters
    ----------
    root, membership : Path
        Where the kernel shows the groups, and to which of them this process belongs. In a container, the group may be
        invisible; its limit is then that of the root.
    """
    lines = membership.read_text(encoding="utf-8").splitlines() if membership.exists() else []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = base / group.lstrip("/")
        for parent in (folder, *folder.parents):
            file = parent / name
            if parent.is_relative_to(base) and file.is_file() and (limit := file.read_text().strip()) != "max":
                yield int(limit)


def check_disk(folder: Path, needed: int, unknown: tuple[str, ...] = ()) -> Finding:
    """Compare the free space for results with what the grid still needs.

    Parameters
    ----------
    folder : Path
        The results.
    needed : int
        Bytes that the images and cells that are still missing take.
    unknown : tuple of str
        Datasets that are not in this number, because nobody knows yet how many images they have.
    """
    free = shutil.disk_usage(folder).free
    without = f", without the images of {', '.join(unknown)}" if unknown else ""
    found = f"{decimal(free)} free in {folder}; the grid takes {decimal(needed)} more{without}"
    if needed > free:
        return Finding("disk", found, "problem", "free some space, or choose another folder with --directory")
    return Finding("disk", found)


def check_permissions(folder: Path) -> list[Finding]:
    """Find folders that a run writes to and must not, and whether processes can share semaphores."""
    findings = []
    folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    if read_only := [str(path) for path in folders if not os.access(path, os.W_OK | os.X_OK)]:
        detail = f"no permission to write to {', '.join(read_only)}"
        remedy = "change the permissions, or choose another folder with --directory"
        findings.append(Finding("folders", detail, "problem", remedy))
    cache = os.environ.get(OUTPUT_CACHE, "")
    if cache and "://" not in cache and not os.access(cache, os.W_OK | os.X_OK):
        detail = f"{OUTPUT_CACHE} is {cache}, which is not a folder that can be written to; only --cache uses it"
        findings.append(Finding("folders", detail, "warning", "create it, or change its permissions"))
    try:
        multiprocessing.get_context().Lock()
    except OSError as error:
        detail = f"processes cannot share semaphores ({error.strerror}), which downscaling needs"
        remedy = "make /dev/shm writable; in a container, mount it with --shm-size"
        findings.append(Finding("folders", detail, "problem", remedy))
    return findings or [Finding("folders", f"{folder} can be written to")]
