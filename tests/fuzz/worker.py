"""The process that reads damaged inputs, under limits that no input may reach.

It is started by `campaign.run` and prints its findings as one line of JSON. The number of the current input is in the
file `progress`, in case that the process ends before.
"""

import base64
import faulthandler
import json
import logging
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

from fuzz import targets
from fuzz.target import Target
from hypothesis import HealthCheck, given, settings, strategies

from entr.jobs.errors import EntrError

MAX_FILE_BYTES = 2**28
"""Size limit on files that reading an input writes."""
MAX_FINDINGS = 20
"""Findings after which a campaign stops."""
MAX_SHOWN_BYTES = 10_000
"""Bytes of an input that a finding of Hypothesis shows."""
DEPTH = ("a", "b", "c", "d")
"""Folders between the watched one and that of an input, so that ``../`` stays within the watched one."""


class Workplace:
    """A folder that belongs to an input, in a folder that is watched: nothing else may appear or change in it."""

    def __init__(self, root: Path) -> None:
        self.current = root / "current"
        self.own = root.joinpath(*DEPTH, "own")
        self.current.mkdir(parents=True)
        self.own.parent.mkdir(parents=True)
        self.folders = [root, self.current, *(root.joinpath(*DEPTH[:depth]) for depth in range(1, len(DEPTH) + 1))]
        for folder in self.folders:
            (folder / "sentinel").write_text("unchanged")
        os.chdir(self.current)
        self.before = self.listing()

    def listing(self) -> list[tuple[str, int, int]]:
        """Return the files of all watched folders with their sizes and times of modification."""
        return [
            (entry.path, entry.stat(follow_symlinks=False).st_size, entry.stat(follow_symlinks=False).st_mtime_ns)
            for folder in self.folders
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)
            if not entry.is_dir(follow_symlinks=False)
        ]

    def clear(self) -> None:
        """Empty the folder of the input."""
        if self.own.exists():
            try:
                shutil.rmtree(self.own)
            except (OSError, RecursionError):
                subprocess.run(["rm", "-rf", self.own], check=True)
        self.own.mkdir()

    def escaped(self) -> list[str]:
        """Return what has changed outside the folder of the input, and restore it."""
        now = self.listing()
        if now == self.before:
            return []
        changed = sorted({path for path, *_ in set(now) ^ set(self.before)})
        for path in changed:
            Path(path).unlink(missing_ok=True)
            if Path(path).name == "sentinel":
                Path(path).write_text("unchanged")
        self.before = self.listing()
        return changed


def prepare(target: Target, workplace: Workplace) -> None:
    """Import and warm up everything by reading the undamaged inputs, each of which has to be accepted."""
    logging.getLogger("entr").addHandler(logging.NullHandler())
    logging.getLogger("entr").propagate = False
    warnings.simplefilter("ignore")
    target.setup()
    for position, data in enumerate(target.corpus):
        workplace.clear()
        assert target.read(data, workplace.own), f"undamaged input {position} of {target.name} is refused"


def limit(target: Target) -> None:
    """Limit the memory, the size of files, and core dumps."""
    address_space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    memory = address_space + target.memory
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def attempt(target: Target, data: bytes, workplace: Workplace) -> tuple[bool, str]:
    """Read an input; return whether it is accepted, and the problem, if any."""
    workplace.clear()
    problem = ""
    accepted = False
    faulthandler.dump_traceback_later(target.seconds, exit=True)
    try:
        accepted = target.read(data, workplace.own)
    except EntrError as error:
        if isinstance(error.__cause__, MemoryError):
            problem = f"not enough memory: {error}"
        if "\n" in str(error):
            problem = f"message of several lines: {str(error)!r}"
    except Exception as error:
        problem = "".join(traceback.format_exception(error, limit=-12))
    faulthandler.cancel_dump_traceback_later()
    if escaped := workplace.escaped():
        problem += f"written outside its folder: {escaped}"
    return accepted, problem


def inputs(target: Target, arguments: list[str]) -> Iterator[tuple[int, bytes]]:
    """Yield inputs with their numbers: files, or the damaged inputs of a range of numbers."""
    if arguments[0] == "files":
        yield from enumerate(Path(path).read_bytes() for path in arguments[1:])
        return
    first, count = map(int, arguments)
    yield from ((number, target.input(number)) for number in range(first, first + count))


def read_all(
    target: Target, numbered: Iterable[tuple[int, bytes]], workplace: Workplace, progress: int
) -> dict[str, object]:
    """Read all inputs, and return their counts and the findings."""
    start, memory = time.perf_counter(), _peak_memory()
    outcomes, findings = [], []
    for number, data in numbered:
        os.pwrite(progress, b"%20d" % number, 0)
        accepted, problem = attempt(target, data, workplace)
        outcomes.append(accepted)
        if problem:
            findings.append((number, problem))
        if len(findings) >= MAX_FINDINGS:
            break
    return _result(outcomes, findings, start, memory)


class FaultFoundError(Exception):
    """A problem that an input caused."""


def search(target: Target, count: int, workplace: Workplace) -> dict[str, object]:
    """Let Hypothesis choose how inputs are damaged, and reduce the damage that causes a problem to the least."""
    start, memory = time.perf_counter(), _peak_memory()
    outcomes: list[bool] = []

    @settings(
        max_examples=count, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategies.randoms(use_true_random=False))
    def check(random: Random) -> None:
        data = target.damage(random, target.corpus)
        accepted, problem = attempt(target, data, workplace)
        outcomes.append(accepted)
        if problem:
            shown = base64.b64encode(data[:MAX_SHOWN_BYTES]).decode()
            raise FaultFoundError(f"{problem}\nthe input, in base64: {shown}")

    findings = []
    try:
        check()
    except FaultFoundError as fault:
        findings.append((None, str(fault)))
    return _result(outcomes, findings, start, memory)


def _result(
    outcomes: Sequence[bool], findings: Sequence[tuple[int | None, str]], start: float, memory: int
) -> dict[str, object]:
    return {
        "tried": len(outcomes),
        "accepted": sum(outcomes),
        "seconds": time.perf_counter() - start,
        "memory_mb": (_peak_memory() - memory) / 1024,
        "findings": findings,
    }


def _peak_memory() -> int:
    """Return the largest resident memory so far in kB; that of `getrusage` includes the parent before the fork."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1])


def main() -> None:
    name, root, *arguments = sys.argv[1:]
    if arguments[0] == "files":
        arguments[1:] = [str(Path(path).resolve()) for path in arguments[1:]]
    target, workplace = targets.load(name), Workplace(Path(root).resolve())
    progress = os.open(workplace.current.parent.with_suffix(".progress"), os.O_WRONLY | os.O_CREAT)
    prepare(target, workplace)
    limit(target)
    if arguments[0] == "search":
        result = search(target, int(arguments[1]), workplace)
    else:
        result = read_all(target, inputs(target, arguments), workplace, progress)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
