"""Evaluation of a cell: accuracy of its stages, test-time augmentation, training diagnostics, other sizes."""

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from entr.config.training_plan import Stage
from entr.jobs.errors import EntrError
from entr.metrics.cell_metrics import Evaluation, LayerGroup, Quality, Resolution, TrainingDiagnostics
from entr.metrics.scores import quality
from entr.training.batches import CropDataset, make_loader
from entr.training.errors import device_errors, micro_batch_size
from entr.training.resize import ResizedImages
from entr.training.seeding import seed_all
from entr.training.trainer import Trainer

log = logging.getLogger("entr")


class Evaluator:
    """Evaluation of the model of a trainer, recorded in the trainer's state.

    Parameters
    ----------
    trainer : Trainer
        Its model is evaluated as it is.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.state, self.settings = trainer, trainer.state, trainer.settings
        self.packed = trainer.packed
        self.truth = self.packed.classes[self.packed.validation_rows]

    def evaluate(self, stage: Stage, size: int) -> None:
        """Evaluate a stage at the size of its phase and at the full size.

        Parameters
        ----------
        stage : str
            The stage that the model has reached; ``total-tta`` averages predictions over augmented images.
        size : int
            Side of the images of the phase in px.
        """
        trainer, full = self.trainer, self.settings.full_size
        self.state.seconds_until[stage] = trainer.clock.training
        self.state.image_passes[stage] = dict(self.state.passes)
        with trainer.clock.on("evaluation"):
            probabilities = {side: self.predict(side, with_tta=stage == "total-tta") for side in {size, full}}
            of_phase = self._record(stage, "phase", size, probabilities[size])
            of_full = self._record(stage, "full", full, probabilities[full])
            if stage != "total-tta":
                self._diagnose(stage, of_full)
            if stage == "total":
                sizes = self.settings.evaluation_sizes
                self.state.other_sizes = {other: quality(self.predict(other), self.truth) for other in sizes}
        log.info("%s: %s accuracy %.1f %% at %d px", trainer.cell, stage, 100 * of_phase.accuracy, size)

    def predict(
        self, size: int, rows: NDArray[np.intp] | None = None, *, with_tta: bool = False
    ) -> NDArray[np.float32]:
        """Return class probabilities, shape (n, classes).

        Parameters
        ----------
        size : int
            Side of the images in px.
        rows : array of int, optional
            Rows of the images; by default those of the validation images.
        with_tta : bool
            Return the mean over the plain and the augmented images (test-time augmentation).
        """
        trainer = self.trainer
        with device_errors(trainer.cell, self.settings, trainer.device, "evaluation", size):
            images = trainer.resize(size, self.packed.validation_rows if rows is None else rows)
            seed_all(trainer.cell.seed, "views")
            n_augmented = self.settings.tta_views if with_tta else 0
            views = [self._predict_view(images, augmented=augmented) for augmented in [False] + [True] * n_augmented]
            return torch.stack(views).mean(0).numpy()

    def _predict_view(self, images: ResizedImages, *, augmented: bool) -> Tensor:
        loader = make_loader(
            CropDataset.of(images, augmented=augmented),
            micro_batch_size(self.settings),
            self.settings.augmentation,
            statistics=self.trainer.statistics,
        )
        return self.trainer.predict(loader)

    def _record(self, stage: Stage, resolution: Resolution, size: int, probabilities: NDArray[np.float32]) -> Quality:
        """Record the quality of predictions, and the predictions themselves."""
        if not np.isfinite(probabilities).all():
            raise EntrError(
                f"{self.trainer.cell}: the predictions of stage {stage} at {size} px are not finite, because training "
                "diverged; lower training.learning_rate"
            )
        evaluation = Evaluation(
            stage=stage, resolution=resolution, size=size, quality=quality(probabilities, self.truth)
        )
        names, labels = np.array(self.packed.names), np.array(self.packed.labels)
        self.state.evaluations.append(evaluation)
        self.state.add_predictions(evaluation, names[self.packed.validation_rows], self.truth, probabilities, labels)
        return evaluation.quality

    def _diagnose(self, stage: Stage, of_validation: Quality) -> None:
        """Record the quality on the training images, and how far the weights are from the initial ones."""
        trainer, full, rows = self.trainer, self.settings.full_size, self.packed.training_rows
        of_training = quality(self.predict(full, rows), self.packed.classes[rows])
        groups = {
            name: LayerGroup(distance=float((now - initial).norm() / initial.norm()), norm=float(now.norm()))
            for name, now, initial in zip(
                ("early", "late", "head"), trainer.group_weights(trainer.model), trainer.initial_weights, strict=True
            )
        }
        self.state.diagnostics.append(TrainingDiagnostics(stage=stage, size=full, training=of_training, **groups))
        log.info(
            "%s: %s accuracy at %d px: %.1f %% on training images, %.1f %% on validation images",
            *(trainer.cell, stage, full, 100 * of_training.accuracy, 100 * of_validation.accuracy),
        )
