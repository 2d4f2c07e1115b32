import os

import pandas as pd
import pytest
import simulated
from factories import INFERENCE, TRAINED, flip_bit, metrics, write_metrics_file

from entr.jobs.errors import EntrError
from entr.jobs.locks import exclusive_lock
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import CELL
from entr.report import grid_progress
from entr.training.cell_state import CellState
from entr.training.checkpoint import Checkpoint, lock_path

CELL_METRICS = metrics("gradual", 0)
PLANS = {"ucm": dict.fromkeys(("no-increase", "gradual"), CELL_METRICS.plan.plain())}
HISTORY = [{"epoch": 1, "phase": "sgdr", "accuracy": 0.25}, {"epoch": 2, "phase": "clrs", "accuracy": 0.5}]


def test_figures_of_a_partial_grid_show_the_finished_cells(tmp_path):
    for name, table in simulated.grid(seeds=2).items():
        write_table(table[table["regime"] != "stepwise"] if "regime" in table else table, tmp_path / f"{name}.csv")
    grid_progress.plot_progress(tmp_path, simulated.design())
    assert {path.stem for path in (tmp_path / "figures").glob("*.html")} == set(grid_progress.FIGURES)
    svg = (tmp_path / "figures" / "fig4_efficiency.svg").read_text(encoding="utf-8")
    assert "stepwise" not in svg.partition("role-legend")[0]


class RunningGrid:
    """Five cells, and functions that bring them into a state."""

    def __init__(self, folder):
        self.folder = folder
        self.metrics = [folder / "cells" / self.cell(seed) / "metrics.json" for seed in range(5)]

    @staticmethod
    def cell(seed):
        return f"ucm/resnet18/gradual/seed{seed}"

    def checkpoint(self, seed):
        return self.folder / "checkpoints" / f"{self.cell(seed)}.npz"

    def save(self, seed, history=HISTORY):
        Checkpoint(self.checkpoint(seed), {"code": "a"}).save(CellState(history=history), {})

    def running(self, seed):
        return exclusive_lock(lock_path(self.checkpoint(seed)), "the cell")

    def states(self, plans=PLANS):
        return grid_progress.cell_states(self.metrics, self.folder / "checkpoints", plans, "epochs")


def test_cells_are_finished_running_interrupted_or_pending(tmp_path):
    grid = RunningGrid(tmp_path)
    write_table(pd.DataFrame(HISTORY), grid.metrics[0].with_name("history.csv"))
    write_metrics_file(grid.metrics[0].parent, CELL_METRICS)
    grid.save(3)
    with grid.running(1), grid.running(2):
        grid.save(2)
        cells, history = grid.states()
    assert cells["state"].tolist() == ["finished", "running", "running", "interrupted", "pending"]
    assert cells["phase"].tolist() == ["clrs", "", "clrs", "", ""]
    assert cells["accuracy"].dropna().tolist() == [0.5, 0.5]
    assert history.to_dict("records") == [
        {"dataset": "ucm", "model": "resnet18", "regime": "gradual", "seed": 2} | row for row in HISTORY
    ]


def test_cell_that_was_trained_with_other_settings_is_not_finished(tmp_path):
    grid = RunningGrid(tmp_path)
    write_table(pd.DataFrame(HISTORY), grid.metrics[0].with_name("history.csv"))
    write_metrics_file(grid.metrics[0].parent, CELL_METRICS)
    training = CELL_METRICS.plan.training.model_copy(update={"learning_rate": 0.5})
    plan = CELL_METRICS.plan.model_copy(update={"training": training}).plain()
    assert grid.states()[0]["state"][0] == "finished"
    assert grid.states({"ucm": {"gradual": plan}})[0]["state"][0] == "pending"


def test_checkpoint_from_before_a_job_is_not_shown_as_its_progress(tmp_path):
    grid = RunningGrid(tmp_path)
    grid.save(1)
    before = grid.checkpoint(1).stat().st_mtime - 60
    os.utime(grid.checkpoint(1), (before, before))
    with grid.running(1):
        cells, history = grid.states()
    assert cells["state"][1] == "running"
    assert cells["phase"][1] == ""
    assert not len(history)


def test_learning_curves_of_running_cells_are_plotted_before_any_cell_is_finished(tmp_path):
    grid = RunningGrid(tmp_path)
    history = simulated.grid(seeds=1)["history"]
    rows = history[(history[["model", "regime"]] == ["resnet18", "gradual"]).all(axis=1)]
    rows = rows.drop(columns=CELL).to_dict("records")
    arguments = {"metrics": grid.metrics, "inference": [], "trained": [], "design": simulated.design()}
    arguments |= {"plans": PLANS, "match": "epochs"}
    arguments |= {"checkpoints": tmp_path / "checkpoints", "folder": tmp_path / "progress"}
    with grid.running(2):
        grid.save(2, rows)
        grid_progress.write_progress(**arguments)
    svg = (tmp_path / "progress" / "figures" / "learning_curves.svg").read_text(encoding="utf-8")
    assert "no cell is finished" in svg
    assert read_table(tmp_path / "progress" / "progress.csv")["state"].tolist().count("pending") == 4
    grid.checkpoint(2).unlink()
    with pytest.raises(EntrError, match="none of the 5 cells of this grid is finished or running yet; try again later"):
        grid_progress.write_progress(**arguments)


def test_finished_cells_are_analysed_and_the_verdict_names_the_missing_ones(tmp_path):
    paths = [tmp_path / f"ucm/resnet18/{regime}/seed0/metrics.json" for regime in ("no-increase", "gradual")]
    history = simulated.grid(seeds=1)["history"].query("model == 'resnet18' and regime == 'no-increase'")
    predictions = {"stage": "total-tta", "resolution": "phase", "image": "a.png", "label": "x", "predicted": "x"}
    for path in paths[:1]:
        write_table(history.drop(columns=CELL), path.with_name("history.csv"))
        write_table(pd.DataFrame({"step": [1]}), path.with_name("steps.csv"))
        write_table(pd.DataFrame({"step": [1]}), path.with_name("lr_find.csv"))
        write_table(pd.DataFrame([predictions | {"probability_of_predicted": 0.9}]), path.with_name("predictions.csv"))
        write_metrics_file(path.parent, metrics("no-increase", 0))
    write_table(INFERENCE, tmp_path / "inference.csv")
    write_table(TRAINED, tmp_path / "trained.csv")
    folder = tmp_path / "progress"
    grid_progress.write_progress(
        paths,
        [tmp_path / "inference.csv", tmp_path / "not benchmarked yet.csv"],
        [tmp_path / "trained.csv"],
        design=simulated.design(models=("resnet18",), regimes=("no-increase", "gradual"), seeds=1),
        plans=PLANS,
        match="epochs",
        checkpoints=tmp_path / "checkpoints",
        folder=folder,
    )
    assert read_table(folder / "progress.csv")["state"].tolist() == ["finished", "pending"]
    assert "**1 cell is missing** and excluded from the results: ucm resnet18 gradual seed 0." in (
        folder / "verdict.md"
    ).read_text(encoding="utf-8")
    assert len(read_table(folder / "history.csv")) == len(history)
    assert {path.stem for path in (folder / "figures").glob("*.html")} == set(grid_progress.FIGURES)


def test_damaged_history_of_a_finished_cell_is_named(tmp_path):
    grid = RunningGrid(tmp_path)
    history = grid.metrics[0].with_name("history.csv")
    write_table(pd.DataFrame(HISTORY), history)
    write_metrics_file(history.parent, CELL_METRICS)
    assert grid.states()[0]["epoch"].iloc[0] == 2
    flip_bit(history)
    with pytest.raises(EntrError, match=rf"{history} is damaged \(its content does not match the checksum"):
        grid.states()
