"""What failed in a run: which job, why, and the command that makes it again."""

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from entr.guards import atomic_write

AT_MOST = 20
"""Failed jobs that a terminal lists; the file lists all."""
BEGINNING = re.compile(r"^ *Error in rule (\w+):$")
FIELD = re.compile(r"^ +(message|output|log): (.*?)(?: \(check log file\(s\) for error details\))?$")
ERROR = re.compile(r"^\S+ \S+ ERROR (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Failure:
    """A job whose output is missing after the run.

    Parameters
    ----------
    rule : str
        Its rule.
    outputs, logs : sequence of str
        Its files; the first log is the job's own, a cluster's may follow.
    message : str
        What the executor said of it, such as a state of SLURM; may be empty.
    """

    rule: str
    outputs: Sequence[str] = ()
    logs: Sequence[str] = ()
    message: str = ""

    @property
    def name(self) -> str:
        """What a person calls it: its log without folder and ending, which has the rule and all wildcards."""
        return " ".join(Path(self.logs[0]).with_suffix("").parts[2:]) if self.logs else self.rule

    def has_begun(self, since: float) -> bool:
        """Tell whether its own log is of this run, which began at a time in seconds of the epoch."""
        log = Path(self.logs[0]) if self.logs else None
        return log is not None and log.exists() and log.stat().st_mtime >= since

    def reason(self, since: float) -> str:
        """Return why it failed: the error in its log or, where it was killed, what is known instead."""
        if not self.has_begun(since):
            return self.message or "it never began"
        text = Path(self.logs[0]).read_text(encoding="utf-8", errors="replace")
        if errors := ERROR.findall(text):
            return errors[-1]
        lines = text.splitlines()
        last = f"; the last line of its log: {lines[-1]}" if lines else ""
        killed = "it ended without an error of its own: killed, cancelled, or out of time or memory"
        return " ".join([killed + last, *filter(None, [self.message])])


def found_in(text: str) -> list[Failure]:
    """Return the failed jobs of the log of a run of snakemake, each once, as it failed last."""
    found: list[Failure] = []
    within = False
    for line in text.splitlines():
        if beginning := BEGINNING.match(line):
            found.append(Failure(beginning[1]))
            within = True
        elif within and (field := FIELD.match(line)):
            name, value = field[1], field[2]
            if name == "message":
                found[-1] = replace(found[-1], message="" if value == "None" else value)
            else:
                found[-1] = replace(found[-1], **{f"{name}s": tuple(value.split(", "))})
        elif not line.startswith(" "):
            within = False
    return list({one.outputs or one.rule: one for one in found}.values())


def summary(logs: Sequence[str | Path], since: float, words: Sequence[str], targets: Collection[str]) -> list[str]:
    """Say which jobs of a run failed, why, and by which command each is made again.

    Parameters
    ----------
    logs : sequence of path
        Those of the run of snakemake.
    since : float
        When the run began, in seconds of the epoch.
    words : sequence of str
        The words of its command, without the program.
    targets : collection of str
        Those of them that name what is to be made.

    Returns
    -------
    list of str
        A paragraph for each job whose output is missing. Of jobs that were sent to a cluster as a group those
        that never began are left out where another one failed.
    """
    text = "\n".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    failed = [one for one in found_in(text) if not (one.outputs and all(Path(path).exists() for path in one.outputs))]
    failed = [one for one in failed if one.has_begun(since)] or failed
    options = [word for word in words if word not in targets]
    return [
        f"{one.name}\n"
        f"  why:   {one.reason(since)}\n"
        f"  log:   {', '.join(one.logs)}\n"
        f"  again: {shlex.join(['snakemake', *one.outputs[:1], *options])}"
        for one in failed
    ]


def tell(paragraphs: Sequence[str], path: str | Path) -> str:
    """Write down all failed jobs, and return what to say of them.

    Parameters
    ----------
    paragraphs : sequence of str
        Of `summary`.
    path : path
        A text file; removed where nothing failed. Where it cannot be written to, that is said too.
    """
    path = Path(path)
    if not paragraphs:
        path.unlink(missing_ok=True)
        return ""
    try:
        with atomic_write(path) as file:
            file.write("\n".join(paragraphs) + "\n")
        where = f"All of them are listed in {path}."
    except OSError as error:
        where = f"{path} could not be written ({error.strerror})."
    shown = "\n".join(paragraphs[:AT_MOST])
    jobs = "1 job" if len(paragraphs) == 1 else f"{len(paragraphs)} jobs"
    return (
        f"\n{jobs} failed; what is finished is kept. {where} When the cause is mended, the same command as before "
        f"makes what is missing, and nothing else.\n\n{shown}\n"
    )
