"""Cells whose process is killed with SIGKILL, at random moments, and run again."""

import json
import os
import random
import signal
import subprocess
import sys

import pandas as pd
import pytest
from safetensors.torch import load_file

from entr.config.regimes import Regime
from entr.config.training import LearningRateFinder, Phase, Training
from entr.config.training_plan import Plan

ROUNDS = int(os.environ.get("ENTR_KILLS", "1"))
"""How often a cell is killed in each of its phases; ten, say, for a thorough check."""
PHASES = {"sgdr": Phase(cycle_length=2), "cmult": Phase(cycles=2), "rpl": Phase(cycles=2, layers="all")}
PLAN = Plan.of(
    Training(
        phases=PHASES,
        schedule=tuple(PHASES),
        full_size=32,
        batch_size=8,
        lr_finder=LearningRateFinder(steps=6),
        tta_views=1,
        evaluation_sizes=(28,),
        device="cpu",
    ),
    Regime(sgdr=24, cmult=[24, 28], rpl={"random": [24, 32]}, tta=32),
    pretrained=True,
)
BATCHES = 2 * (56 // 8)
"""Training steps in each phase: two epochs of 56 images."""
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from entr.config.training_plan import Plan
from entr.jobs.logs import configure_logging
from entr.metrics.cell_metrics import Cell
from entr.training.lazy_imports import lazy_imports

with lazy_imports():
    from entr.training.callbacks import EpochRecorder
    from entr.training.cell import train_cell
    from entr.training.evaluation import Evaluator

options = json.loads(sys.argv[1])
folder = Path(options["folder"])
configure_logging(folder / "log.txt")
after_step, evaluate_stage, steps = EpochRecorder.after_batch, Evaluator.evaluate, 0

def after_batch(self):
    global steps
    after_step(self)
    if self.training and self.phase.phase == options["phase"]:
        steps += 1
        if steps == options["steps"]:
            os.kill(os.getpid(), signal.SIGKILL)

def evaluate(self, stage, size):
    if stage == options["phase"]:
        os.kill(os.getpid(), signal.SIGKILL)
    evaluate_stage(self, stage, size)

EpochRecorder.after_batch, Evaluator.evaluate = after_batch, evaluate
data = Path(options["data"])
train_cell(
    Cell(dataset="m", model="test_resnet", regime="gradual", seed=options["seed"], weights="none"),
    Plan.model_validate(options["plan"]),
    pixels=data / "pixels.npy", manifest=data / "manifest.csv", split=data / "split.csv", weights=None,
    folder=folder / "cell", checkpoint=folder / "checkpoint.npz", code=options["code"],
)
"""


@pytest.fixture
def cell(dataset, tmp_path):
    """Run a cell in a process of its own, which may be killed after some steps of a phase, or before an evaluation."""

    def run(name, *, phase="", steps=0, seed=0, code="a"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        options = {
            "folder": str(folder), "data": str(dataset), "plan": PLAN.plain(),
            "phase": phase, "steps": steps, "seed": seed, "code": code,
        }  # fmt: skip
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", PROGRAM, json.dumps(options)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == (-signal.SIGKILL if phase else 0), done.stderr
        return folder, (folder / "log.txt").read_text()

    return run


def results(folder):
    metrics = json.loads((folder / "cell" / "metrics.json").read_text())
    history = pd.read_csv(folder / "cell" / "history.csv")
    timed = [name for name in history if name.endswith("seconds") or name == "images_per_second"]
    return (
        metrics["evaluations"],
        metrics["image_passes"],
        metrics["diagnostics"],
        metrics["other_sizes"],
        history.drop(columns=timed).to_csv(),
        (folder / "cell" / "steps.csv").read_text(),
        (folder / "cell" / "lr_find.csv").read_text(),
        (folder / "cell" / "predictions.csv").read_text(),
        {name: value.numpy().tobytes() for name, value in load_file(folder / "cell" / "model.safetensors").items()},
    )


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_cell_killed_in_every_phase_gives_bit_identical_results(cell, seed):
    unbroken, _ = cell("unbroken", seed=seed)
    moments = random.Random(seed)
    for number, phase in enumerate(PHASES):
        folder, log = cell("killed", phase=phase, steps=moments.randint(1, BATCHES), seed=seed)
        assert not (folder / "cell").exists()
        # a job killed in its first phase has no checkpoint
        assert ("resuming from the checkpoint after phase" in log) == (number > 1)
    # after all phases, but before the last evaluation
    _, log = cell("killed", phase="total-tta", seed=seed)
    assert "after phase cmult" in log
    folder, log = cell("killed", seed=seed)
    assert "after phase rpl" in log
    assert results(folder) == results(unbroken)
    metrics = json.loads((folder / "cell" / "metrics.json").read_text())
    assert metrics["resumed"] == 3
    assert sorted(path.name for path in folder.iterdir()) == ["cell", "log.txt"]


def test_checkpoint_of_other_code_is_not_resumed_from(cell):
    cell("killed", phase="cmult", steps=1)
    _, log = cell("killed", code="b")
    assert "was written with different code; starting from scratch" in log
    assert "resuming from the checkpoint after phase" not in log
