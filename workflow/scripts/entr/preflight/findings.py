"""Findings about this machine, and the table that shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

Status = Literal["ok", "warning", "problem"]
"""A problem prevents the run; a warning makes it slower, or its results different, or may prevent it."""
WIDTH = 110
"""Longest line in characters."""


@dataclass(frozen=True)
class Finding:
    """What was found out about one subject."""

    subject: str
    detail: str
    status: Status = "ok"
    remedy: str = ""
    """What to do about a warning or a problem."""


def render_findings(findings: Sequence[Finding]) -> str:
    """Return a table with the status, subject and detail of each finding, and its remedy on the next line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(finding.status, finding.subject, finding.detail)
        if finding.remedy:
            table.add_row("", "", f"remedy: {finding.remedy}")
    console = Console(width=WIDTH, color_system=None, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
