"""Cells whose process is killed with SIGKILL, at random moments, and run again."""

import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from entr import checkpoints
from entr.checkpoints import Checkpoint
from entr.regimes import Phase, Plan, RateFinder, Regime, Training

ROUNDS = int(os.environ.get("ENTR_KILLS", "1"))
"""How often a cell is killed in each of its phases; ten, say, for a thorough check."""
PHASES = {"sgdr": Phase(cycle_length=2), "cmult": Phase(cycles=2), "rpl": Phase(cycles=2, layers="all")}
PLAN = Plan.of(
    Training(
        phases=PHASES,
        schedule=tuple(PHASES),
        full_size=32,
        batch_size=8,
        rate_finder=RateFinder(steps=6),
        tta_views=1,
        test_sizes=(28,),
        device="cpu",
    ),
    Regime(sgdr=24, cmult=[24, 28], rpl={"any": [24, 32]}, tta=32),
    pretrained=True,
)
BATCHES = 2 * (56 // 8)
"""Training steps in each phase: two epochs of 56 images."""
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from entr import guards, measures, training
from entr.regimes import Plan, Regime

options = json.loads(sys.argv[1])
folder = Path(options["folder"])
guards.report_to(folder / "log.txt")
after_step, measured, steps = training.History.after_batch, training.Trainer.measure, 0

def after_batch(self):
    global steps
    after_step(self)
    if self.training and self.step.phase == options["phase"]:
        steps += 1
        if steps == options["steps"]:
            os.kill(os.getpid(), signal.SIGKILL)

def measure(self, stage, size):
    if stage == options["phase"]:
        os.kill(os.getpid(), signal.SIGKILL)
    measured(self, stage, size)

training.History.after_batch, training.Trainer.measure = after_batch, measure
data = Path(options["data"])
training.train_cell(
    measures.Cell(dataset="m", model="resnet18", regime="gradual", seed=options["seed"], weights="none"),
    Plan.model_validate(options["plan"]),
    pixels=data / "pixels.npy", manifest=data / "manifest.csv", split=data / "split.csv", weights=None,
    folder=folder / "cell", checkpoint=folder / "checkpoint.npz", code=options["code"],
)
"""


@pytest.fixture
def cell(dataset, tmp_path):
    """Run a cell in a process of its own, which may be killed after some steps of a phase, or before a measure."""

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
        metrics["mechanism"],
        metrics["test_sizes"],
        history.drop(columns=timed).to_csv(),
        (folder / "cell" / "steps.csv").read_text(),
        (folder / "cell" / "lr_find.csv").read_text(),
        (folder / "cell" / "predictions.csv").read_text(),
        {name: value.numpy().tobytes() for name, value in load_file(folder / "cell" / "model.safetensors").items()},
    )


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_cell_that_is_killed_in_every_phase_ends_with_the_numbers_of_one_that_is_not(cell, seed):
    unbroken, _ = cell("unbroken", seed=seed)
    moments = random.Random(seed)
    for number, phase in enumerate(PHASES):
        folder, log = cell("killed", phase=phase, steps=moments.randint(1, BATCHES), seed=seed)
        assert not (folder / "cell").exists()
        # a job that was killed in its first phase had finished nothing
        assert ("goes on after phase" in log) == (number > 1)
    # when all phases are finished, but not all is measured
    _, log = cell("killed", phase="total-tta", seed=seed)
    assert "goes on after phase cmult" in log
    folder, log = cell("killed", seed=seed)
    assert "goes on after phase rpl" in log
    assert results(folder) == results(unbroken)
    metrics = json.loads((folder / "cell" / "metrics.json").read_text())
    assert metrics["resumed"] == 3
    assert sorted(path.name for path in folder.iterdir()) == ["cell", "log.txt"]


def test_a_checkpoint_of_other_code_is_not_gone_on_from_and_the_reason_is_said(cell):
    cell("killed", phase="cmult", steps=1)
    _, log = cell("killed", code="b")
    assert "is of another code; starting from the beginning" in log
    assert "goes on after phase" not in log


ARRAYS = {"a/weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(3)}
RECORDS = {"finished": 2, "history": [{"loss": 0.1}]}
IDENTITY = {"configuration": "1", "code": "2"}


@pytest.fixture
def checkpoint(tmp_path):
    kept = Checkpoint(tmp_path / "kept" / "checkpoint.npz", IDENTITY)
    kept.save(ARRAYS, RECORDS)
    return kept


def test_what_is_kept_comes_back_as_it_was(checkpoint):
    arrays, records = checkpoint.load()
    assert records == RECORDS
    assert arrays.keys() == ARRAYS.keys()
    assert all(
        np.array_equal(arrays[name], ARRAYS[name]) and arrays[name].dtype == ARRAYS[name].dtype for name in ARRAYS
    )


def test_nothing_kept_is_nothing_to_go_on_from(tmp_path):
    assert Checkpoint(tmp_path / "nothing.npz", {}).load() is None


@pytest.mark.parametrize("fault", ["cut short", "empty", "a byte changed", "no archive", "code"])
def test_a_damaged_checkpoint_is_passed_over_and_said(checkpoint, caplog, fault):
    content = checkpoint.path.read_bytes()
    position = content.index(ARRAYS["a/weight"].tobytes())
    changed = content[:position] + b"\xff" + content[position + 1 :]
    broken = {
        "cut short": content[: len(content) // 2],
        "empty": b"",
        "a byte changed": changed,
        "no archive": b"x" * 99,
    }
    if fault == "code":
        np.savez(checkpoint.path, identity=np.array([{}], dtype=object), records=np.array(0))
    else:
        checkpoint.path.write_bytes(broken[fault])
    assert checkpoint.load() is None
    assert "is damaged" in caplog.text


def test_a_checkpoint_of_another_configuration_is_passed_over_and_said(checkpoint, caplog):
    assert Checkpoint(checkpoint.path, IDENTITY | {"configuration": "3"}).load() is None
    assert "is of another configuration; starting from the beginning" in caplog.text


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(checkpoint, monkeypatch):
    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoints.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save({}, {})
    assert checkpoint.load()[1] == RECORDS
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["checkpoint.npz"]
