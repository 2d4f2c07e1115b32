"""Cells trained on synthetic textures, in this process, in a subprocess or step by step."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback
from gpu.scale import Scale
from numpy.typing import NDArray

from entr.config.regimes import Regime
from entr.config.training import Layers, LearningRateFinder, Phase, Training
from entr.config.training_plan import Plan
from entr.devices import torch_device
from entr.jobs.tables import read_table
from entr.metrics.cell_metrics import Cell, Metrics
from entr.training.cell import train_cell
from entr.training.clock import Clock
from entr.training.evaluation import Evaluator
from entr.training.learner import set_trainable
from entr.training.resize import PackedImages
from entr.training.trainer import Trainer

PHASES = {"frozen": Phase(), "unfrozen": Phase(layers="all")}
"""One epoch that trains the head, then one that trains all layers."""
EXACT_FLOAT32 = {"precision": "float32", "tf32": False}
"""Settings with which results of a GPU and a CPU differ only by the order of summation."""
NOT_PART_OF_A_CELL = {"starting", "waiting", "other", "wall"}
"""Seconds that depend on the checks that ran before in the same process."""


def make_plan(scale: Scale, sizes: Any = None, phases: Mapping[str, Phase] = PHASES, **settings: Any) -> Plan:
    """Return a plan for pretrained weights, because with random weights no phase would freeze the backbone.

    Parameters
    ----------
    scale : Scale
        Scale of the checks.
    sizes : int or tuple of int, optional
        Image side in px in each phase, as in a regime; by default the size of the stored images.
    phases : mapping of str to Phase
        The phases, in the order in which they run.
    **settings
        Fields of `Training` that replace the defaults of the checks.
    """
    defaults = {
        "phases": phases,
        "schedule": tuple(phases),
        "subtotal_after": next(iter(phases)),
        "full_size": scale.sizes[-1],
        "evaluation_sizes": (scale.sizes[0],),
        "batch_size": scale.batch_size,
        "lr_finder": LearningRateFinder(steps=8),
        "tta_views": 1,
    }
    sizes = sizes or scale.sizes[-1]
    last = sizes[-1] if isinstance(sizes, tuple) else sizes
    regime = Regime(**dict.fromkeys(phases, sizes), tta=last)
    return Plan.of(Training(**defaults | settings), regime, pretrained=True)


def phases_of_length(epochs: int) -> dict[str, Phase]:
    """Return the phases with this number of epochs each."""
    return {name: phase.model_copy(update={"cycle_length": epochs}) for name, phase in PHASES.items()}


def make_cell(model: str) -> Cell:
    """Return the identity of a cell with randomly initialised weights."""
    return Cell(dataset="textures", model=model, regime="check", seed=0, weights="none")


@dataclass(frozen=True)
class FinishedCell:
    """The files of a finished cell."""

    folder: Path

    @property
    def metrics(self) -> Metrics:
        """The metrics of the cell."""
        return Metrics.model_validate_json((self.folder / "metrics.json").read_text())

    @property
    def weights(self) -> Path:
        """The file with the trained weights."""
        return self.folder / "model.safetensors"

    def table(self, name: str) -> pd.DataFrame:
        """Return the table ``history``, ``steps``, ``lr_find`` or ``predictions``."""
        return read_table(self.folder / f"{name}.csv")

    def summary_row(self) -> dict[str, object]:
        """Return the row of the cell in the summary."""
        metrics = self.metrics
        seconds = {f"{part} (s)": round(value, 2) for part, value in metrics.seconds if part not in NOT_PART_OF_A_CELL}
        sizes = sorted({size for passes in metrics.image_passes.values() for size in passes})
        return {
            "model": metrics.model,
            "size (px)": "+".join(map(str, sizes)),
            "precision": metrics.precision,
            "T (s)": round(metrics.seconds_until["total"], 2),
            **seconds,
            "peak memory (MB)": round(metrics.peak_memory_mb) if metrics.peak_memory_mb else None,
        }


def train(model: str, plan: Plan, files: Mapping[str, Path], folder: Path) -> FinishedCell:
    """Train a cell in this process."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    train_cell(make_cell(model), plan, **files, weights=None, folder=folder, checkpoint=_checkpoint(folder))
    return FinishedCell(folder)


def start_training(model: str, plan: Plan, files: Mapping[str, Path], folder: Path) -> subprocess.Popen:
    """Start a subprocess that trains a cell, or resumes it if it was interrupted; its GPU locks are its own."""
    folder.mkdir(exist_ok=True)
    options = {
        "cell": make_cell(model).model_dump(mode="json"),
        "plan": plan.model_dump(mode="json"),
        "folder": str(folder),
        "checkpoint": str(_checkpoint(folder)),
        **{name: str(path) for name, path in files.items()},
    }
    program = Path(__file__).with_name("train_one.py")
    with open(folder / "log.txt", "a", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, program, json.dumps(options)],
            env=subprocess_environment(folder),
            stdout=log,
            stderr=log,
        )


def subprocess_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a subprocess that imports from the same paths and keeps its locks in `folder`."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)}


def has_checkpoint(folder: Path) -> bool:
    """Tell whether an unfinished cell has finished a phase."""
    return _checkpoint(folder).exists()


def _checkpoint(folder: Path) -> Path:
    return folder / "checkpoint.npz"


class CellHarness:
    """A cell whose epochs and predictions are run one at a time.

    Parameters
    ----------
    model : str
        Name of the model, which is randomly initialised from a fixed seed.
    plan : Plan
        The plan of the cell.
    files : mapping of str to Path
        The data, see `textures.write_textures`.
    device : torch.device
        Where the cell runs.
    """

    def __init__(self, model: str, plan: Plan, files: Mapping[str, Path], device: torch.device) -> None:
        self.model, self.device, self.plan = model, device, plan
        self.trainer = Trainer(make_cell(model), plan, PackedImages.open(**files), None, Clock(device))
        self.learner, self.precision = self.trainer.learner, self.trainer.precision

    def set_image_size(self, size: int) -> None:
        """Train on images of this side in px from now on."""
        self.learner.dls = self.trainer.loaders_at(size)

    @property
    def steps_per_epoch(self) -> int:
        """Training steps per epoch."""
        return len(self.learner.dls.train)

    def train_phase(self, name: str) -> None:
        """Train one phase of the plan."""
        self._configure_kernels()
        self.trainer.train(next(phase for phase in self.plan.phases if phase.phase == name))

    def train_epoch(self, layers: Layers, *callbacks: Callback) -> None:
        """Train for one epoch at the current image size, with a fresh optimizer."""
        self._configure_kernels()
        set_trainable(self.learner, layers)
        with self.learner.no_logging(), self.learner.no_bar():
            self.learner.fit(1, cbs=list(callbacks), reset_opt=True)

    def predict(self, rows: NDArray[np.intp], size: int) -> NDArray[np.float32]:
        """Return class probabilities of some images, shape (rows, classes)."""
        self._configure_kernels()
        return Evaluator(self.trainer).predict(size, rows)

    def _configure_kernels(self) -> None:
        """Apply the kernel settings of this cell, because they are global and another cell may have changed them."""
        training = self.plan.training
        torch_device.configure_kernels(tf32=training.tf32, deterministic=training.deterministic)
