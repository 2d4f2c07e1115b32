import os

import numpy as np
import pandas as pd
import pytest
import simulated

from entr import so_far
from entr.checkpoints import Checkpoint
from entr.guards import EntrError, exclusive

SETTINGS = {
    "datasets": {"ucm": "UCM"}, "models": ["resnet18", "resnet50"], "regimes": list(simulated.REGIMES),
    "control": "no-increase", "basis": "training",
}  # fmt: skip
HISTORY = [{"epoch": 1, "phase": "sgdr", "accuracy": 0.25}, {"epoch": 2, "phase": "clrs", "accuracy": 0.5}]


def test_the_curves_of_what_is_finished_are_drawn_from_a_part_of_the_grid(tmp_path):
    for name, table in simulated.grid(seeds=2).items():
        part = table[table["regime"] != "stepwise"] if "regime" in table else table
        part.to_csv(tmp_path / f"{name}.csv", index=False)
    so_far.draw(tmp_path, SETTINGS)
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.html")}
    assert drawn == set(so_far.FIGURES)
    assert "stepwise" not in (tmp_path / "figures" / "fig4.svg").read_text(encoding="utf-8").partition("role-legend")[0]


class Growing:
    """A folder of cells in every state."""

    def __init__(self, folder):
        self.folder = folder
        self.metrics = [str(folder / "cells" / self.place(seed) / "metrics.json") for seed in range(5)]

    @staticmethod
    def place(seed):
        return f"ucm/resnet18/gradual/seed{seed}"

    def checkpoint(self, seed):
        return self.folder / "checkpoints" / f"{self.place(seed)}.npz"

    def keep(self, seed):
        Checkpoint(self.checkpoint(seed), {"code": "a"}).save({"weight": np.zeros(2)}, {"history": HISTORY})

    def at_work(self, seed):
        return exclusive(self.checkpoint(seed).with_suffix(".lock"), "the cell")

    def progress(self):
        return so_far.progress(self.metrics, self.folder / "checkpoints")


def test_each_cell_is_finished_at_work_interrupted_or_waiting(tmp_path):
    grid = Growing(tmp_path)
    finished = tmp_path / "cells" / grid.place(0)
    finished.mkdir(parents=True)
    (finished / "metrics.json").write_text("{}")
    pd.DataFrame(HISTORY).to_csv(finished / "history.csv", index=False)
    grid.keep(3)
    with grid.at_work(1), grid.at_work(2):
        grid.keep(2)
        cells, growing = grid.progress()
    assert cells["state"].tolist() == ["finished", "at work", "at work", "interrupted", "waiting"]
    assert cells["phase"].tolist() == ["clrs", "", "clrs", "", ""]
    assert cells["accuracy"].dropna().tolist() == [0.5, 0.5]
    assert growing.to_dict("records") == [
        {"dataset": "ucm", "model": "resnet18", "regime": "gradual", "seed": 2} | row for row in HISTORY
    ]


def test_what_was_kept_before_a_job_began_is_not_shown_as_its_own(tmp_path):
    grid = Growing(tmp_path)
    grid.keep(1)
    before = grid.checkpoint(1).stat().st_mtime - 60
    os.utime(grid.checkpoint(1), (before, before))
    with grid.at_work(1):
        cells, growing = grid.progress()
    assert cells["state"][1] == "at work"
    assert cells["phase"][1] == ""
    assert not len(growing)


def test_curves_of_cells_at_work_are_drawn_before_any_is_finished(tmp_path):
    grid = Growing(tmp_path)
    history = simulated.grid(seeds=1)["history"]
    rows = history[(history[["model", "regime"]] == ["resnet18", "gradual"]).all(axis=1)]
    rows = rows.drop(columns=["dataset", "model", "regime", "seed"]).to_dict("records")
    asked = {"metrics": grid.metrics, "inference": [], "finished": [], "settings": SETTINGS}
    asked |= {"kept": tmp_path / "checkpoints", "folder": tmp_path / "so_far"}
    with grid.at_work(2):
        Checkpoint(grid.checkpoint(2), {"code": "a"}).save({}, {"history": rows})
        so_far.write(**asked)
    drawn = (tmp_path / "so_far" / "figures" / "learning.svg").read_text(encoding="utf-8")
    assert "Validation accuracy so far; no cell is finished" in drawn
    assert pd.read_csv(tmp_path / "so_far" / "progress.csv")["state"].tolist().count("waiting") == 4
    grid.checkpoint(2).unlink()
    with pytest.raises(EntrError, match="none of the 5 cells of this grid is finished or at work yet"):
        so_far.write(**asked)
