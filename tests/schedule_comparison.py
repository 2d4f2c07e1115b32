"""The tables in docs/schedules.md, made from the archived cells in docs/schedule_comparison; see `make schedules`."""

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from configurations import CATALOGUE, FILES, PAPER, merged
from conftest import ROOT

from entr.analysis import aggregation, pareto_front
from entr.analysis.formatting import format_number
from entr.config.validation import validate_config
from entr.config_reference import with_section
from entr.jobs.tables import read_table
from entr.metrics.labels import ALL, FINAL, PHASE, describe_share

FOLDER = ROOT / "docs" / "schedule_comparison"
ARCHIVES = {"epochs": FOLDER / "equal_epochs", "time": FOLDER / "equal_time"}
"""The archived cells by what the schedules have in common, the key `match`."""
HEADINGS = {"epochs": "Same number of epochs", "time": "Same training time"}
PAGE = ROOT / "docs" / "schedules.md"
SECTION = "comparison"


def configuration(match):
    """Return the configuration of a comparison."""
    files = [*FILES, CATALOGUE, PAPER, ROOT / "config/schedules.yaml", FOLDER / "config.yaml"]
    return validate_config(merged(*files, archive=str(ARCHIVES[match]), match=match))


def tables(match, folder):
    """Return the summary and the Pareto fronts of archived cells."""
    config, archive = configuration(match), ARCHIVES[match]
    cells = product(*config.grid.model_dump().values())
    metrics = [
        archive / "cells" / dataset / model / regime / f"seed{seed}" / "metrics.json"
        for dataset, model, regime, seed in cells
    ]
    outputs = {name: folder / f"{name}.csv" for name in ("metrics", "summary", "cells")}
    inference = archive / "inference"
    aggregation.write_metrics(
        metrics,
        inference.glob("*.csv"),
        inference.glob("trained/*/*.csv"),
        control=config.control,
        outputs=outputs,
    )
    pareto_front.write_fronts(outputs["metrics"], config.control, table=folder / "fronts.csv")
    return read_table(outputs["summary"]), read_table(folder / "fronts.csv")


def section():
    """Return the section of the page: for each comparison a table per dataset, and one over all datasets."""
    parts = []
    for match, heading in HEADINGS.items():
        with TemporaryDirectory() as folder:
            summary, fronts = tables(match, Path(folder))
        config = configuration(match)
        titles = config.study().datasets
        scopes = titles | ({ALL: " and ".join(titles.values())} if len(titles) > 1 else {})
        seeds = len(config.grid.seeds)
        for name, title in scopes.items():
            count = "1 seed" if seeds == 1 else f"{seeds} seeds"
            parts += [f"**{heading}**, {title}, {count}\n\n", *rows_of(name, summary, fronts), "\n"]
        parts += [*describe_drift(match), "\n"]
    return "".join(parts).removesuffix("\n")


def describe_drift(match) -> Iterator[str]:
    """Yield a sentence per dataset on how long the same epoch took in different cells."""
    config = configuration(match)
    for dataset, title in config.study().datasets.items():
        medians = []
        for path in sorted(ARCHIVES[match].glob(f"cells/{dataset}/*/*/*/history.csv")):
            plan = config.plan(dataset, path.parts[-3])
            size, history = plan.training.full_size, read_table(path)
            same = history[(history["layers"] == "all") & (history["size"] == size)]
            fixed = all(phase.batch_size == plan.training.batch_size and not phase.drawn for phase in plan.phases)
            if len(same) and fixed:
                medians.append(same["training_seconds"].median())
        yield (
            f"An epoch in which all layers are trained at {size} px on {title} took {min(medians):.1f} to "
            f"{max(medians):.1f} s, depending on the cell, because the speed of the machine varied. Ratios of *T* "
            "contain this variation.\n"
        )


def rows_of(dataset, summary, fronts) -> Iterator[str]:
    """Yield the lines of a table, the most accurate schedule first."""
    case = {"stage": FINAL, "resolution": PHASE}
    scope = "all" if dataset == ALL else "dataset"
    rows = aggregation.select_rows(fronts, scope=scope, dataset=dataset, time_basis="training", **case)
    rows = rows.sort_values(["accuracy", "time"], ascending=[False, True])
    means = aggregation.select_rows(summary, dataset=dataset, metric="accuracy", **case).set_index("regime")["mean"]
    times = aggregation.select_rows(summary, dataset=dataset, metric="time", time_basis="training", **case)
    times = times.set_index("regime")["mean"]
    absolute = [] if dataset == ALL else ["*A*, %", "*T*, s"]
    heads = ["schedule", *absolute, "difference in *A*, points", "ratio of *T*", "on the front"]
    yield f"| {' | '.join(heads)} |\n| --- |{' --: |' * (len(heads) - 1)}\n"
    for row in rows.itertuples():
        values = [f"`{row.regime}`"]
        if absolute:
            values += [f"{100 * means[row.regime]:.1f}", f"{times[row.regime]:.0f}"]
        values += [
            f"{100 * row.accuracy:+.1f}{interval(100 * row.accuracy_low, 100 * row.accuracy_high, '{:+.1f}'.format)}",
            f"{row.time:.2f}{interval(row.time_low, row.time_high, format_number)}",
            ("yes" if row.on_front else "no") if pd.isna(row.front_share) else describe_share(row.front_share),
        ]
        yield f"| {' | '.join(values)} |\n"


def interval(low, high, number):
    """Return an interval in brackets, or an empty string if there is none."""
    return "" if pd.isna(low) else f" [{number(low)}, {number(high)}]"


def update():
    """Write the section into the page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_section(text, SECTION, section(), "schedules"), encoding="utf-8")


if __name__ == "__main__":
    update()
    sys.stdout.write(f"updated {PAGE.relative_to(ROOT)}\n")
