"""Campaigns: many damaged inputs of one target, read in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conftest import ROOT

REGRESSIONS = Path(__file__).parent / "regressions"
"""Inputs that once revealed a fault, in a folder for each target."""
MAX_CRASHES = 5
"""Ends of the process after which a campaign stops."""


@dataclass
class Campaign:
    """The result of reading inputs of one target."""

    target: str
    tried: int = 0
    accepted: int = 0
    seconds: float = 0
    memory_mb: float = 0
    """Growth of the peak of the resident memory while inputs were read."""
    findings: list[tuple[int | None, str]] = field(default_factory=list)
    """Number of the input, or None if Hypothesis chose it, and the traceback or other problem."""

    def report(self) -> str:
        """Return the findings, each with the command that repeats it."""
        return "\n".join(self._described(number, problem) for number, problem in self.findings)

    def _described(self, number: int | None, problem: str) -> str:
        if number is None:
            return f"{self.target}: {problem}\n"
        return f"{self.target} {number}: {problem}\nrepeat it: make fuzz INPUT='{self.target} {number}'\n"


def run(target: str, first: int, count: int) -> Campaign:
    """Read the damaged inputs `first` to `first + count - 1` of a target."""
    campaign = Campaign(target)
    end = first + count
    while first < end and len(campaign.findings) < MAX_CRASHES:
        last = _run_worker(campaign, [str(first), str(end - first)])
        if last is None:
            break
        campaign.tried += last - first + 1
        first = last + 1
    return campaign


def search(target: str, count: int) -> Campaign:
    """Read inputs of a target that Hypothesis chooses, which reduces one that reveals a fault to the least."""
    campaign = Campaign(target)
    _run_worker(campaign, ["search", str(count)])
    return campaign


def run_files(target: str, files: Sequence[Path]) -> Campaign:
    """Read files as inputs of a target; a finding has the position of its file."""
    campaign = Campaign(target)
    last = _run_worker(campaign, ["files", *map(str, files)])
    campaign.tried += 0 if last is None else last + 1
    return campaign


def _run_worker(campaign: Campaign, arguments: Sequence[str]) -> int | None:
    """Run one process, add its result to a campaign, and return the number of the input that ended it, if one did."""
    path = os.pathsep.join([str(ROOT / "workflow" / "scripts"), str(ROOT / "tests")])
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "PYTHONPATH": path,
            "TMPDIR": folder,
            "XDG_CACHE_HOME": folder,
            "PYTHONHASHSEED": "0",
            # each thread would reserve address space, which is limited
            "MALLOC_ARENA_MAX": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "fuzz.worker", campaign.target, str(Path(folder, "watched")), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
        if done.returncode == 0:
            result = json.loads(done.stdout.splitlines()[-1])
            campaign.tried += result["tried"]
            campaign.accepted += result["accepted"]
            campaign.seconds += result["seconds"]
            campaign.memory_mb = max(campaign.memory_mb, result["memory_mb"])
            campaign.findings += [tuple(finding) for finding in result["findings"]]
            return None
        progress = Path(folder, "watched.progress")
        number = progress.read_text().strip() if progress.exists() else ""
        problem = f"the process ended with {done.returncode}: {done.stderr[-3000:]}"
        if not number and arguments[0] != "search":
            raise RuntimeError(f"{campaign.target} could not be prepared: {problem}")
        if arguments[0] == "search":
            campaign.findings.append((None, problem))
            return None
        campaign.findings.append((int(number), problem))
        return int(number)
