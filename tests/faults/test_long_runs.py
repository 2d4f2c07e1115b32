"""Runs of 48 hours, simulated: nothing that a process holds grows with the number of cells. See tests/long_runs.py."""

import os

import long_runs
import numpy as np
import pandas as pd
import pytest
from long_runs import CELLS, MODELS, REGIMES, SEEDS, SimulatedGrid, train_cells

from entr.config_reference import with_section

CELLS_IN_ONE_PROCESS = 300


def growth(samples, column):
    """Return by how much the largest value of the last quarter exceeds that of the second."""
    cells = samples["cells"] / samples["cells"].max()
    return samples[column][cells > 0.75].max() - samples[column][cells.between(0.25, 0.5)].max()


def assert_nothing_accumulates(samples, *, megabytes, open_files=0, threads=0):
    """Check the growth; files and threads of a job that is starting or ending are allowed for."""
    found = {name: growth(samples, name) for name in ("memory_mb", "open_files", "threads", "handlers")}
    assert found["memory_mb"] <= megabytes, found
    assert found["open_files"] <= open_files, found
    assert found["threads"] <= threads, found
    assert found["handlers"] == 0, found


def log_kb_per_cell(samples):
    """Return how much each half of a run has logged per cell."""
    half = samples[samples["cells"] >= samples["cells"].max() / 2].iloc[0]
    first, last = samples.iloc[0], samples.iloc[-1]
    return [
        (late["log_kb"] - early["log_kb"]) / (late["cells"] - early["cells"])
        for early, late in ((first, half), (half, last))
    ]


@pytest.fixture(scope="module")
def record():
    """Function that updates the table of the documentation, if ENTR_UPDATE_DOCS is set."""
    summaries = []
    yield lambda *values: summaries.append(long_runs.summarise(*values))
    if os.environ.get("ENTR_UPDATE_DOCS"):
        long_runs.update_documentation(summaries)


def test_cells_in_one_process_leave_nothing_open(dataset, tmp_path):
    samples = train_cells(6, dataset, tmp_path)
    assert_nothing_accumulates(samples, megabytes=40)
    # each cell overwrites the log of the one before
    assert np.ptp(samples["log_kb"]) < 1


@pytest.mark.slow
def test_hundreds_of_cells_in_one_process_do_not_grow(dataset, tmp_path, record):
    samples = train_cells(CELLS_IN_ONE_PROCESS, dataset, tmp_path)
    record("cells in one process", samples, CELLS_IN_ONE_PROCESS)
    assert_nothing_accumulates(samples, megabytes=10)


def test_snakemake_holds_as_much_after_forty_cells_as_after_twenty(tmp_path):
    samples = SimulatedGrid(tmp_path).run(MODELS[:2], 2, 10)
    assert_nothing_accumulates(samples, megabytes=5, open_files=4, threads=4)


@pytest.mark.slow
def test_snakemake_does_not_grow_in_48_hours(tmp_path, record):
    samples = SimulatedGrid(tmp_path).run(MODELS, REGIMES, SEEDS)
    record("Snakemake", samples, CELLS)
    assert_nothing_accumulates(samples, megabytes=10, open_files=4, threads=4)
    early, late = log_kb_per_cell(samples)
    assert late == pytest.approx(early, rel=0.1)


def test_documented_run_has_48_hours_of_cells():
    assert len(MODELS) * REGIMES * SEEDS == CELLS
    assert CELLS * 64 == 3600 * long_runs.HOURS
    table = pd.read_csv(long_runs.TABLE)
    last = table.groupby("process")["cells"].max()
    assert last["Snakemake"] > 0.99 * CELLS
    assert last["cells in one process"] == CELLS_IN_ONE_PROCESS
    page = long_runs.PAGE.read_text()
    assert page == with_section(page, "long-runs", long_runs.markdown(table), "long-runs"), "run `make long-runs`"
