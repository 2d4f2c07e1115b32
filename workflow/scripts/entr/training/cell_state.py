"""The state of a cell: everything it has recorded, which is what a checkpoint stores beside the weights."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from entr.config.training_plan import Stage
from entr.metrics.cell_metrics import Evaluation, Quality, TrainingDiagnostics


class CellState(BaseModel):
    """What a cell has recorded so far; recorders append to it, and the checkpoint stores it whole."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    phases_finished: int = 0
    times_resumed: int = 0
    epoch: int = 0
    """Epochs started, counted over all phases."""
    work_done: float = 0.0
    """Work of the finished epochs, in the units of `progress.relative_work`."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """Seconds per part of the wall time, at the time of the checkpoint."""
    wall: float = 0.0
    """Seconds since the cell was first started, at the time of the checkpoint."""
    history: list[dict[str, Any]] = Field(default_factory=list)
    """One row per epoch."""
    steps: list[dict[str, Any]] = Field(default_factory=list)
    """One row per training step."""
    lr_find: list[dict[str, Any]] = Field(default_factory=list)
    """One row per step of the learning-rate finder."""
    predictions: list[dict[str, Any]] = Field(default_factory=list)
    """One row per stage, resolution and validation image."""
    evaluations: list[Evaluation] = Field(default_factory=list)
    diagnostics: list[TrainingDiagnostics] = Field(default_factory=list)
    other_sizes: dict[int, Quality] = Field(default_factory=dict)
    """Quality of the trained model at the evaluation sizes, by size in px."""
    seconds_until: dict[Stage, float] = Field(default_factory=dict)
    """*T* on the basis `training`, until each stage."""
    image_passes: dict[Stage, dict[int, int]] = Field(default_factory=dict)
    """Images that went through training steps until each stage, by size in px."""
    passes: Counter[int] = Field(default_factory=Counter)
    """Images that went through training steps so far, by size in px."""
    peak_memory: int = 0
    """Most bytes allocated on a GPU."""
    sizes_in_host_memory: list[int] = Field(default_factory=list)
    """Image sides in px at which the training images did not fit on the device."""

    def add_predictions(
        self,
        evaluation: Evaluation,
        images: NDArray[np.str_],
        truth: NDArray[np.integer],
        probabilities: NDArray[np.float32],
        labels: NDArray[np.str_],
    ) -> None:
        """Add the predictions of an evaluation.

        Parameters
        ----------
        evaluation : Evaluation
            Stage, resolution and size.
        images : array of str, shape (n,)
            Names of the images.
        truth : array of int, shape (n,)
            Their class numbers.
        probabilities : array of float32, shape (n, classes)
            Predicted probabilities.
        labels : array of str, shape (classes,)
            Names of the classes.
        """
        columns = {
            "image": images,
            "label": labels[truth],
            "predicted": labels[probabilities.argmax(1)],
            "probability_of_label": probabilities[np.arange(len(truth)), truth],
            "probability_of_predicted": probabilities.max(1),
        }
        key = {"stage": evaluation.stage, "resolution": evaluation.resolution, "size": evaluation.size}
        values = (column.tolist() for column in columns.values())
        self.predictions += [key | dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables that a finished cell writes, by the name of the file."""
        # float32 again, so that the shortest decimal form is written
        predictions = pd.DataFrame(self.predictions).astype(
            {"probability_of_label": "float32", "probability_of_predicted": "float32"}
        )
        return {
            "history": pd.DataFrame(self.history),
            "steps": pd.DataFrame(self.steps),
            "lr_find": pd.DataFrame(self.lr_find),
            "predictions": predictions,
        }
