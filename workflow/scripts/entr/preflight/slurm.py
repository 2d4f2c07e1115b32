"""The partitions of SLURM that a run submits its jobs to."""

import re
import subprocess
from collections.abc import Mapping

from entr.jobs.errors import one_line
from entr.preflight.findings import Finding

SECONDS_FOR_LISTING = 20
"""Timeout of ``sinfo``, which waits for a controller that is down."""
PROFILE = "profiles/slurm/config.yaml"
NAMES = re.compile(r"""["']?([\w.-]+(?:,[\w.-]+)*)["']?""")
"""Partitions in a profile: any of them may run the job. Otherwise it is a Python expression, which is not checked."""
GPU_RULE = "train"
"""A rule whose jobs need a GPU."""


def check_slurm(partitions: Mapping[str, str | None]) -> list[Finding]:
    """Compare the partitions of the configuration with those of the cluster.

    Parameters
    ----------
    partitions : mapping
        Partition of each rule as in the profile, or None.

    Returns
    -------
    list of Finding
        Empty if there is no SLURM and none is configured.
    """
    of_rules = {
        rule: found[1].split(",") for rule, text in partitions.items() if (found := NAMES.fullmatch(text or ""))
    }
    configured = sorted({partition for names in of_rules.values() for partition in names})
    try:
        gres = list_partitions()
    except FileNotFoundError:
        if not configured:
            return []
        detail = f"slurm_partition is {', '.join(configured)}, but there is no sinfo here"
        return [Finding("SLURM", detail, "problem", "run on the head node of the cluster, or without this profile")]
    except (OSError, subprocess.SubprocessError) as error:
        if not configured:
            return [Finding("SLURM", "not used by this run")]
        reason = " ".join((getattr(error, "stderr", "") or one_line(error)).split())[:120]
        return [Finding("SLURM", f"sinfo fails ({reason})", "problem", "ask the administrators whether SLURM is up")]
    names = ", ".join(gres) or "none"
    if not configured:
        return [Finding("SLURM", f"partitions {names}; to use them, add --workflow-profile profiles/slurm")]
    if unknown := [partition for partition in configured if partition not in gres]:
        detail = f"unknown partition {', '.join(unknown)}; the cluster has {names}"
        return [Finding("SLURM", detail, "problem", f"correct slurm_partition in {PROFILE}")]
    of_cells = of_rules.get(GPU_RULE, [])
    if of_cells and not any("gpu" in gres[partition] for partition in of_cells):
        detail = f"partition {', '.join(of_cells)} of the rule {GPU_RULE} has no GPU"
        return [Finding("SLURM", detail, "problem", f"set another slurm_partition for it in {PROFILE}")]
    return [Finding("SLURM", f"partitions {', '.join(configured)}")]


def list_partitions() -> dict[str, str]:
    """Return the generic resources of each partition, such as ``gpu:a100:4``.

    Raises
    ------
    OSError
        If there is no ``sinfo``.
    subprocess.SubprocessError
        If it fails.
    """
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%R|%G"],  # noqa: S607  wherever SLURM is installed
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS_FOR_LISTING,
    )
    partitions: dict[str, str] = {}
    for line in done.stdout.splitlines():
        # one line per kind of node
        name, _, resources = line.strip().partition("|")
        partitions[name] = f"{partitions.get(name, '')} {resources}".strip()
    return partitions
