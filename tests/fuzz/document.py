"""The table of fuzzing in the documentation."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
from conftest import ROOT
from fuzz import targets
from fuzz.campaign import REGRESSIONS, Campaign

from entr.config_reference import with_section
from entr.jobs.files import atomic_write
from entr.jobs.tables import read_table, write_table

PAGE = ROOT / "docs" / "robustness.md"
TABLE = ROOT / "docs" / "fuzzing.csv"


def write(results: Iterable[Campaign]) -> None:
    """Write the results as a CSV file and into the page."""
    rows = [
        {
            "target": result.target,
            "title": targets.load(result.target).title,
            "inputs": result.tried,
            "accepted": result.accepted,
            "refused": result.tried - result.accepted,
            "seconds": round(result.seconds),
            "memory_mb": round(result.memory_mb),
            "memory_limit_mb": targets.load(result.target).memory // 10**6,
        }
        for result in results
    ]
    write_table(pd.DataFrame(rows), TABLE)
    update_page(PAGE)


def update_page(page: Path) -> None:
    """Regenerate the table of a page, between its two markers, from the CSV file."""
    table = "".join(_markdown(read_table(TABLE)))
    content = with_section(page.read_text(encoding="utf-8"), "fuzzing", table, "fuzz")
    with atomic_write(page) as file:
        file.write(content)


def _markdown(rows: pd.DataFrame) -> Iterator[str]:
    yield "| inputs | tried | accepted | refused | seconds | memory, MB | limit, MB | kept for regression |\n"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    for row in rows.to_dict("records"):
        kept = sum(1 for _ in (REGRESSIONS / row["target"]).glob("*"))
        numbers = [row[name] for name in ("inputs", "accepted", "refused", "seconds", "memory_mb", "memory_limit_mb")]
        yield f"| {row['title']} | {' | '.join(f'{number:,}' for number in [*numbers, kept])} |\n"
    totals = [f"{rows[name].sum():,}" for name in ("inputs", "accepted", "refused", "seconds")]
    yield f"| **all** | {' | '.join(totals)} | | | |\n"
