"""Summary at the end of the session: the outcome and findings of each check, training speeds and cells."""

from pathlib import Path

import pandas as pd
import pytest

from entr.jobs.tables import write_table

FINDING = "finding"
"""Property of a check: what it measured, in a few words."""
TABLES = {
    "speed": "Training steps of ENTR, and of the floor: plain torch on one random batch",
    "cell": "Cells: T, its parts resize and training, and other activities",
    "compile": "Compiled training steps",
}
"""Properties of a check that are rows of a table, with the title of the table."""


class Summary:
    """A pytest plugin that collects what the checks measured.

    Parameters
    ----------
    machine : str
        Description of the device and the software.
    folder : Path or None
        Directory for one CSV file per table, updated after each check in case the session is cut off.
    """

    def __init__(self, machine: str, folder: Path | None) -> None:
        self.machine, self.folder = machine, folder
        self.checks: list[dict[str, object]] = []
        self.rows: dict[str, list[dict[str, object]]] = {name: [] for name in TABLES}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the outcome and the properties of a check."""
        if report.when != "call" and report.outcome == "passed":
            return
        findings = [value for name, value in report.user_properties if name == FINDING]
        if report.outcome != "passed":
            findings.append(_reason(report))
        for name, value in report.user_properties:
            if name in self.rows:
                self.rows[name].append(value)
        self.checks.append(
            {
                "check": report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " "),
                "outcome": report.outcome,
                "seconds": round(report.duration, 1),
                "findings": "; ".join(findings),
            }
        )
        self._save()

    def _save(self) -> None:
        if self.folder:
            for name, rows in {"checks": self.checks, **self.rows}.items():
                write_table(pd.DataFrame(rows), self.folder / f"{name}.csv")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print all tables."""
        write = terminalreporter.write_line
        for name, title in TABLES.items():
            if self.rows[name]:
                write(f"\n{title}\n{pd.DataFrame(self.rows[name]).to_string(index=False)}")
        if self.checks:
            write(f"\nMeasured on {self.machine}")
            for check in self.checks:
                line = f"{check['outcome']:8}{check['seconds']:6.1f} s  {check['check']}: {check['findings']}"
                write(line.rstrip(": "))


def _reason(report: pytest.TestReport) -> str:
    """Return in one line why a check failed or was skipped."""
    if report.outcome == "skipped":
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return " ".join(str(getattr(report.longrepr, "reprcrash", report.longrepr)).split())[:300]
