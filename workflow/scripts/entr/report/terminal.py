"""What a run shows in the terminal: a line per event, a status line, and the answer at the end.

Snakemake's own output goes to its log file only; ``--verbose`` shows it in the terminal as before.
"""

import csv
import json
import logging
import os
import re
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.status import Status
from snakemake_interface_logger_plugins.common import LogEvent

from entr.jobs.durations import SECONDS_PER_HOUR, format_duration
from entr.metrics.cell_metrics import Metrics
from entr.metrics.labels import ALL, FINAL, PHASE, describe_share
from entr.report.label_issues import describe_label_issues

TRAIN = "train"
LINES = {
    "fetch_archive": "{dataset}: downloading images",
    "fetch_url_list": "{dataset}: downloading images",
    "fetch_torchvision": "{dataset}: downloading images",
    "render_micrographs": "{dataset}: rendering images",
    "link_images": "{dataset}: linking images",
    "fetch_weights": "{model}: downloading initial weights",
    "fit_budget": "measuring training steps to choose a grid that fits into the budget",
    "downscale": "{dataset}: downscaling images",
    "downscale_folder": "{dataset}: downscaling images",
    "benchmark_inference": "benchmarking inference",
    "benchmark_trained": "benchmarking inference",
    "aggregate_metrics": "computing the tables and the answer",
    "plot_figure": "plotting the figures",
    "plot_sample_images": "plotting the figures",
    "export_model": "{dataset}: exporting the recommended model",
    "render_report": "rendering the report",
}
"""What starts with the first job of a rule; each line is printed once. Jobs of other rules are only counted."""
ROUTINE = re.compile(
    "Assuming unrestricted shared filesystem|Building DAG of jobs|Using shell|Conda environments: ignored|"
    "is extended by additional config|Select jobs to execute|eligible for caching between workflows|Complete log|"
    "Shutting down, this might take"
)
"""Messages of Snakemake that do not concern a user."""
LOGGED_WARNING = re.compile(r"^\S+ \S+ WARNING (?!.*Warning: )(.*)$", re.MULTILINE)
"""A warning of the library in the log of a job, but none of Python, which concern developers."""
WARNINGS_PER_JOB = 3
"""Most warnings of a job that are shown; its log has them all."""
SEEDS_COMMAND = re.compile(r"snakemake --config (seeds=\d+)")
"""The command of `answer.answer_text` that adds seeds, without the options of the run."""
REGIMES = "The regimes: "
RECOMMENDATION = "results/recommendation.md"
LIKELY = 0.5
"""Share of bootstrap draws from which on a regime is named."""
INDENT = 4 * " "
"""What precedes a command in the answer."""
WIDTH = 120
"""Longest line in a file, in characters; in a terminal, its width."""


@dataclass
class _Job:
    rule: str
    wildcards: Mapping[str, str]
    outputs: Sequence[str]
    logs: Sequence[str]
    message: str
    started_at: float


@dataclass
class GridProgress:
    """How much of a grid is done, and how long the rest will take."""

    total: int
    """Cells that this run trains."""
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """Seconds of the finished cells, by model and regime."""
    finished: int = 0

    def add(self, model: str, regime: str, seconds: float) -> None:
        """Count a finished cell."""
        self.finished += 1
        self.seconds.setdefault((model, regime), []).append(seconds)

    def seconds_left(self, pending: Sequence[tuple[str, str]]) -> float | None:
        """Return the expected seconds of the pending cells, or None before the first has finished.

        Parameters
        ----------
        pending : sequence of tuple of str
            Model and regime of each pending cell, as far as known. A combination that is unknown or has not finished
            yet counts as the mean of those that have.
        """
        if not self.seconds:
            return None
        means = {key: sum(values) / len(values) for key, values in self.seconds.items()}
        default = sum(means.values()) / len(means)
        unknown = self.total - self.finished - len(pending)
        return sum(means.get(key, default) for key in pending) + unknown * default

    def describe(self, pending: Sequence[tuple[str, str]]) -> str:
        """Return the progress in words."""
        text = f"cell {self.finished} of {self.total}"
        left = self.seconds_left(pending)
        if not left:
            return text
        done = sum(map(sum, self.seconds.values()))
        return f"{text}, {100 * done / (done + left):.0f} % of the work, about {format_duration(left)} left"


class TerminalHandler(logging.Handler):
    """Handler that shows the jobs of a Snakemake run to a person; messages without a job are left to Snakemake's own.

    Parameters
    ----------
    stream : text stream
        Where the lines go; a status line is shown if it is a terminal.
    cells : mapping of str to tuple of str
        Model and regime of each cell of the grid, by the path of its ``metrics.json``.
    """

    def __init__(self, stream: TextIO, cells: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(logging.INFO)
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.cells = dict(cells)
        self.pending: dict[str, tuple[str, str]] = {}
        self.grid = GridProgress(0)
        self.jobs: dict[int, _Job] = {}
        self.printed: set[str] = set()
        self.done = self.total = 0
        self.status: Status | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, if a person cares for it."""
        try:
            self._handle_event(record)
        except Exception:
            self.handleError(record)

    def _handle_event(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self._plan(record.stats.get(TRAIN, 0))  # type: ignore[attr-defined]
        elif event == LogEvent.JOB_INFO:
            self._start(record)
        elif event == LogEvent.JOB_FINISHED:
            self._finish(record)
        elif event == LogEvent.PROGRESS:
            self.done, self.total = record.done, record.total  # type: ignore[attr-defined]
            self._update_status()
        elif event in {LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR}:
            self._fail(record)

    def _plan(self, n_cells: int) -> None:
        """Note how many cells will be trained, and which, unless outdated ones are among them."""
        missing = {path: key for path, key in self.cells.items() if not Path(path).exists()}
        self.grid = GridProgress(n_cells)
        self.pending = missing if len(missing) <= n_cells else {}

    def _start(self, record: logging.LogRecord) -> None:
        values: dict[str, Any] = vars(record)
        wildcards = dict(values.get("wildcards") or {})
        job = _Job(
            values["rule_name"],
            wildcards,
            [str(path) for path in values.get("output") or ()],
            [str(path) for path in values.get("log") or ()],
            values.get("rule_msg") or values["rule_name"],
            time.monotonic(),
        )
        self.jobs[values["jobid"]] = job
        if job.rule in LINES:
            line = LINES[job.rule].format_map(wildcards)
            if line not in self.printed:
                self.printed.add(line)
                self.print(line)
        self._update_status()

    def _finish(self, record: logging.LogRecord) -> None:
        job = self.jobs.pop(record.job_id, None)  # type: ignore[attr-defined]
        if job is None:
            return
        self._print_warnings(job)
        if job.rule != TRAIN:
            return
        path = next(output for output in job.outputs if output.endswith("metrics.json"))
        model, regime = self.pending.pop(path, (job.wildcards["model"], job.wildcards["regime"]))
        self.grid.add(model, regime, time.monotonic() - job.started_at)
        progress = self.grid.describe(list(self.pending.values()))
        self.print(f"{_describe_cell(Path(path))} ({progress})")

    def _print_warnings(self, job: _Job) -> None:
        """Print the warnings in the log of a job that no earlier job has printed."""
        logs = [path for path in map(Path, job.logs[:1]) if path.exists()]
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in logs]
        prefix = "{dataset} {model} {regime} seed {seed}: ".format_map(job.wildcards) if job.rule == TRAIN else ""
        messages = [message.removeprefix(prefix) for text in texts for message in LOGGED_WARNING.findall(text)]
        new = [message for message in dict.fromkeys(messages) if message not in self.printed]
        self.printed.update(new)
        for message in new[:WARNINGS_PER_JOB]:
            self.print(f"warning: {message}")
        if len(new) > WARNINGS_PER_JOB:
            self.print(f"warning: {len(new) - WARNINGS_PER_JOB} more in {logs[0]}")

    def _fail(self, record: logging.LogRecord) -> None:
        job = self.jobs.pop(getattr(record, "jobid", -1), None)
        name = job.message if job else getattr(record, "rule_name", "a job")
        self.print(f"failed: {name}")

    def print(self, line: str) -> None:
        """Print a line, cut to the width."""
        width = self.console.width if self.console.is_terminal else WIDTH
        self.console.print(line if len(line) <= width else f"{line[: width - 1]}…")

    def _update_status(self) -> None:
        if not self.console.is_terminal:
            return
        running = next(iter(self.jobs.values()), None)
        if running is None:
            return
        text = f"{self.done} of {self.total} jobs, {running.message}" if self.total else running.message
        if self.status is None:
            self.status = self.console.status(text)
            self.status.start()
        else:
            self.status.update(text)

    def close(self) -> None:
        """Remove the status line."""
        if self.status is not None:
            self.status.stop()
            self.status = None
        super().close()


def _describe_cell(path: Path) -> str:
    """Return what a cell measured, from its ``metrics.json``."""
    metrics = Metrics.model_validate_json(path.read_text(encoding="utf-8"))
    accuracy = next(
        evaluation.quality.accuracy
        for evaluation in metrics.evaluations
        if (evaluation.stage, evaluation.resolution) == (FINAL, PHASE)
    )
    seconds = metrics.seconds_until["total-tta"]
    name = f"{metrics.dataset} {metrics.model} {metrics.regime} seed {metrics.seed}"
    return f"{name}: A {100 * accuracy:.1f} %, T {seconds:.1f} s"


def install(logger: logging.Logger, stream: TextIO, cells: Mapping[str, tuple[str, str]]) -> TerminalHandler | None:
    """Show jobs as a line per event, and of Snakemake's own output only what concerns a person.

    Parameters
    ----------
    logger : Logger
        Snakemake's logger.
    stream, cells
        As in `TerminalHandler`.

    Returns
    -------
    TerminalHandler or None
        None if Snakemake does not write to the terminal, for instance because a logger plugin does.
    """
    default = next((handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"), None)
    if default is None:
        return None
    default.addFilter(concerns_a_person)
    handler = TerminalHandler(stream, cells)
    logger.addHandler(handler)
    return handler


def concerns_a_person(record: logging.LogRecord) -> bool:
    """Return whether a message of Snakemake is shown: errors and whatever is neither routine nor about a job."""
    if getattr(record, "event", None) not in {None, LogEvent.ERROR}:
        return False
    return not ROUTINE.search(str(record.msg))


def close(logger: logging.Logger) -> None:
    """Remove the status line, before something else is printed."""
    for handler in logger.handlers:
        if isinstance(handler, TerminalHandler):
            handler.close()


def summarise_run(
    answer: str | Path,
    page: str | Path,
    error_pages: Sequence[str],
    model_dirs: Sequence[str],
    options: Sequence[str] = (),
    *,
    fronts: str | Path | None = None,
    time_basis: str = "training",
    hours: float | None = None,
    scale: float = 1,
    seconds: float = 0,
) -> str:
    """Return the end of a successful run: the answer, where the pages are, and what to do next.

    Parameters
    ----------
    answer : path
        The text of `answer.answer_text`.
    page : path
        The report.
    error_pages : sequence of str
        Pages of `error_analysis.write_error_analysis`, each next to its table.
    model_dirs : sequence of str
        Directories of exported models.
    options : sequence of str
        Command-line arguments of the run, which the command that adds seeds repeats.
    fronts : path, optional
        The table of `pareto_front.write_fronts`.
    time_basis : str
        The time basis of the study.
    hours : float, optional
        The budget. The command that adds seeds has none, because another grid might fit into it.
    scale : float
        The scale that fits into the budget.
    seconds : float
        Duration of the run.
    """
    fixed = [f"scale={scale:g}", "hours=null"] if hours else []
    text = Path(answer).read_text(encoding="utf-8")
    text = SEEDS_COMMAND.sub(lambda match: with_config(options, match[1], *fixed), text)
    lines = ["", text.rstrip(), ""]
    lines.append(f"The report:  {Path(page)} (open it in a browser)")
    if error_pages:
        lines.append(f"The errors:  {error_pages[0]} ({_describe_errors(Path(error_pages[0]).with_suffix('.csv'))})")
    if fronts:
        lines += _describe_fronts(Path(fronts), time_basis)
    if model_dirs:
        lines += [f"The model:   {model_dirs[0]}", f"             {_python()} {model_dirs[0]}/predict.pyz IMAGES"]
        lines += _describe_test(Path(model_dirs[0], "test.json"))
    if hours:
        lines.append(f"The budget:  {hours:g} h, of which this run took {seconds / SECONDS_PER_HOUR:.2g} h")
    return "\n".join(lines)


def _describe_fronts(table: Path, time_basis: str) -> list[str]:
    """Return lines that name the regimes that are probably on the Pareto front over all datasets and models."""
    case = {"scope": ALL, "stage": FINAL, "resolution": PHASE, "time_basis": time_basis}
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if case.items() <= row.items()]
    if not rows:
        return []
    if rows[0]["front_share"]:
        shares = {row["regime"]: float(row["front_share"]) for row in rows}
        likely = sorted((name for name in shares if shares[name] >= LIKELY), key=lambda name: -shares[name])
        names = [f"{name} {describe_share(shares[name])}" for name in likely]
        text = f"on the Pareto front in most bootstrap draws: {', '.join(names)}"
    else:
        text = f"on the Pareto front: {', '.join(row['regime'] for row in rows if row['on_front'] == 'True')}"
    indent = " " * len(REGIMES)
    return textwrap.wrap(f"{text} ({RECOMMENDATION})", WIDTH, initial_indent=REGIMES, subsequent_indent=indent)


def _describe_errors(table: Path) -> str:
    """Return how many images are misclassified, and how many may be mislabelled."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    mistakes = sum(row["label"] != row["predicted"] for row in rows)
    issues = sum(row["label_issue"] == "True" for row in rows)
    return f"{mistakes} of {len(rows)} images misclassified; {describe_label_issues(len(rows), mistakes, issues)}"


def _python() -> str:
    """Return how this Python is called: by its path, unless its environment is activated."""
    path = os.path.abspath(sys.executable)  # noqa: PTH100  a link to Python is not resolved
    if shutil.which("python") == path:
        return "python"
    return shlex.quote(min(path, os.path.relpath(path), key=len))


def _describe_test(path: Path) -> list[str]:
    """Return a line with the accuracy on test images, if the model was tested."""
    if not path.exists():
        return []
    test = json.loads(path.read_text(encoding="utf-8"))
    accuracy, low, high = (f"{100 * test[name]:.1f}" for name in ("accuracy", "low", "high"))
    return [f"             accuracy {accuracy} % [{low} to {high}] on {test['images']} held-out test images"]


def with_config(options: Sequence[str], *settings: str) -> str:
    """Return the command of a run with values of the configuration set or replaced.

    Parameters
    ----------
    options : sequence of str
        Command-line arguments of the run.
    *settings : str
        ``KEY=VALUE``. They join the values of an existing ``--config``, because a second ``--config`` would
        replace the first.

    Returns
    -------
    str
        The command, continued on further lines where it exceeds `WIDTH`.
    """
    keys = tuple(f"{setting.partition('=')[0]}=" for setting in settings)
    arguments = [option for option in options if not option.startswith(keys)]
    place = next((n for n, option in enumerate(arguments, 1) if option in {"--config", "-C"}), None)
    if place is None:
        arguments += ["--config", *settings]
    else:
        arguments[place:place] = settings
    lines = ["snakemake"]
    for word in map(shlex.quote, arguments):
        if len(lines[-1]) + len(word) > WIDTH - len(INDENT) - len("  \\"):
            lines[-1] += " \\"
            lines.append(f"{INDENT}  {word}")
        else:
            lines[-1] += f" {word}"
    return "\n".join(lines)
