"""Failed jobs of a Snakemake run: which, why, and the command that reruns each."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from entr.jobs.files import atomic_write
from entr.jobs.snakemake_options import without_targets

AT_MOST = 20
"""Maximum number of failed jobs printed to the terminal; the file lists all."""
ERROR_BLOCK = re.compile(r"^ *Error in rule (\w+):$")
FIELD = re.compile(r"^ +(message|jobid|output|log): (.*?)(?: \(check log file\(s\) for error details\))?$")
FINISHED = re.compile(r"^ *Finished jobid: (\d+) \(Rule: ")
LOGGED_ERROR = re.compile(r"^\S+ \S+ ERROR (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Failure:
    """A failed job.

    Parameters
    ----------
    rule : str
        Name of its rule.
    outputs, logs : sequence of str
        Its output and log files; the first log is that of the job, a second one that of the cluster.
    message : str
        Message of the executor, such as a state of SLURM; may be empty.
    jobid : str
        Its number in the run.
    """

    rule: str
    outputs: Sequence[str] = ()
    logs: Sequence[str] = ()
    message: str = ""
    jobid: str = ""

    @property
    def name(self) -> str:
        """Rule and wildcards, from the path of its log below ``results/logs``."""
        return " ".join(Path(self.logs[0]).with_suffix("").parts[2:]) if self.logs else self.rule

    def has_started(self, before: Mapping[str, int]) -> bool:
        """Return whether the job wrote to its log after the modification times `before` were read."""
        log = Path(self.logs[0]) if self.logs else None
        return log is not None and log.exists() and log.stat().st_mtime_ns != before.get(str(log))

    def has_succeeded(self, before: Mapping[str, int]) -> bool:
        """Return whether the job ran, has all its outputs, and logged no error."""
        if not (self.outputs and self.has_started(before) and all(Path(path).exists() for path in self.outputs)):
            return False
        return not LOGGED_ERROR.search(Path(self.logs[0]).read_text(encoding="utf-8", errors="replace"))

    def reason(self, before: Mapping[str, int]) -> str:
        """Return the error in its log; if there is none, the last line of the log and the executor's message."""
        if not self.has_started(before):
            return self.message or "the job never started"
        text = Path(self.logs[0]).read_text(encoding="utf-8", errors="replace")
        if errors := LOGGED_ERROR.findall(text):
            return errors[-1]
        lines = text.splitlines()
        last_line = f"; last line of its log: {lines[-1]}" if lines else ""
        killed = f"the job ended without an error message: killed, cancelled, or out of time or memory{last_line}"
        return f"{killed} {self.message}" if self.message else killed


def modification_times(folder: str | Path) -> dict[str, int]:
    """Return the modification time of each file in a folder and its subfolders, in ns, by path.

    They are compared with each other but not with a clock, which may be set during a run, and differs between machines.
    """
    return {str(path): path.stat().st_mtime_ns for path in Path(folder).rglob("*") if path.is_file()}


def parse_log(text: str) -> list[Failure]:
    """Return the failed jobs in the log of a Snakemake run, each once, by its last attempt.

    Jobs of which a later attempt succeeded are left out.
    """
    failures: list[Failure] = []
    in_block = False
    for line in text.splitlines():
        if block := ERROR_BLOCK.match(line):
            failures.append(Failure(block[1]))
            in_block = True
        elif in_block and (field := FIELD.match(line)):
            failures[-1] = _with_field(failures[-1], *field.groups())
        elif finished := FINISHED.match(line):
            failures = [failure for failure in failures if failure.jobid != finished[1]]
            in_block = False
        elif not line.startswith(" "):
            in_block = False
    return list({failure.outputs or failure.rule: failure for failure in failures}.values())


def _with_field(failure: Failure, name: str, value: str) -> Failure:
    if name == "message":
        return replace(failure, message="" if value == "None" else value)
    if name == "jobid":
        return replace(failure, jobid=value)
    files = tuple(value.split(", "))
    return replace(failure, outputs=files) if name == "output" else replace(failure, logs=files)


def describe_failures(logs: Sequence[str | Path], before: Mapping[str, int], arguments: Sequence[str]) -> list[str]:
    """Describe the failed jobs of a run: name, reason, logs and the command that reruns it.

    Parameters
    ----------
    logs : sequence of path
        Log files of the Snakemake run.
    before : mapping of str to int
        The `modification_times` of the logs at the start of the run, by which those of earlier runs are recognised.
    arguments : sequence of str
        Command-line arguments of the run.

    Returns
    -------
    list of str
        A paragraph per failed job. Jobs that never started are omitted if others did, because
        a cluster reports all jobs of a group as failed.
    """
    text = "\n".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    # Snakemake reports all jobs of a group as failed if one of them does
    failed = [failure for failure in parse_log(text) if not failure.has_succeeded(before)]
    failed = [failure for failure in failed if failure.has_started(before)] or failed
    options = without_targets(arguments) if failed else []
    return [
        f"{failure.name}\n"
        f"  reason: {failure.reason(before)}\n"
        f"  log:    {', '.join(failure.logs)}\n"
        f"  rerun:  {shlex.join(['snakemake', *(failure.outputs[:1] or [failure.rule]), *options])}"
        for failure in failed
    ]


def write_failures(paragraphs: Sequence[str], path: str | Path) -> str:
    """Write a list of all failed jobs, and return a summary for the terminal.

    Parameters
    ----------
    paragraphs : sequence of str
        Result of `describe_failures`.
    path : path
        A text file; removed if no job failed. If it cannot be written, the summary says so.
    """
    path = Path(path)
    if not paragraphs:
        path.unlink(missing_ok=True)
        return ""
    try:
        with atomic_write(path) as file:
            file.write("\n".join(paragraphs) + "\n")
        listed = f"All of them are listed in {path}."
    except OSError as error:
        listed = f"{path} could not be written ({error.strerror})."
    shown = "\n".join(paragraphs[:AT_MOST])
    jobs = "1 job" if len(paragraphs) == 1 else f"{len(paragraphs)} jobs"
    return (
        f"\n{jobs} failed. {listed} Fix the cause and run the same command again: only missing results are "
        f"recomputed.\n\n{shown}\n"
    )
