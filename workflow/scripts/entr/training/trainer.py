"""Training of a cell, phase by phase, with fastai's `Learner`, schedules and callbacks.

The phases are those of fast.ai's course of 2018. *T* is the time spent in training steps and in the
resizing that they need; everything else is timed separately.
"""

import logging
import math
import random
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.schedule import ParamScheduler, minimum, steep, valley
from fastai.data.core import DataLoaders
from fastcore.basics import risinstance
from numpy.typing import NDArray
from torch import Tensor, nn

from entr.config.training import Layers
from entr.config.training_plan import Batch, PhasePlan, Plan
from entr.devices import torch_device
from entr.jobs.errors import EntrError
from entr.metrics.cell_metrics import Cell
from entr.models import architectures
from entr.training.batches import CropDataset, DeviceLoader, ImageDataset, MixedSizeDataset, make_loader
from entr.training.callbacks import (
    DataByEpoch,
    EpochData,
    EpochRecorder,
    InMemoryLRFinder,
    StepRecorder,
    mixup_callback,
    tensorboard_callback,
)
from entr.training.cell_state import CellState
from entr.training.checkpoint import Checkpoint
from entr.training.clock import Clock, EpochClock
from entr.training.errors import device_errors, micro_batch_size
from entr.training.learner import make_learner, set_trainable
from entr.training.lr_schedule import CyclicSchedule
from entr.training.progress_log import Progress
from entr.training.resize import PackedImages, ResizedImages, resize_images
from entr.training.seeding import derive_seed, seed_all

log = logging.getLogger("entr")

SUGGESTIONS = {"valley": valley, "steep": steep, "minimum": minimum}
"""fastai's rules that suggest a learning rate from the finder's curve."""
SKIPPED_AT_END = 5
"""Last points of the finder's curve that the rules ignore, as in fastai; they also ignore the first tenth."""
MIN_POINTS_TO_SUGGEST = 6
"""Fewest points of the finder's curve from which a suggestion is more than chance."""
WARM_UP_IMAGES = 8
"""Images that are resized once before anything is timed, because a GPU loads its kernels when they are first used."""

ImagesBySize = dict[int, ResizedImages]
"""Images by the side in px to which they are downscaled, in ascending order."""


class Trainer:
    """A model that trains through the phases of a plan.

    Parameters
    ----------
    cell, plan : Cell, Plan
        Which cell, and how it is trained.
    packed : PackedImages
        The images, moved to the device of the clock.
    weights : path, optional
        Pretrained weights of the whole model; without them the backbone is randomly initialised.
    clock : Clock
        Times the parts of the cell.
    state : CellState, optional
        What an interrupted process has recorded.
    tensorboard : path, optional
        Directory of TensorBoard's logs, with a sub-directory per phase.
    """

    def __init__(
        self,
        cell: Cell,
        plan: Plan,
        packed: PackedImages,
        weights: str | Path | None,
        clock: Clock,
        state: CellState | None = None,
        tensorboard: Path | None = None,
    ) -> None:
        self.cell, self.plan, self.clock, self.tensorboard = cell, plan, clock, tensorboard
        self.is_pretrained = weights is not None
        self.settings, self.device = plan.training, clock.device
        self.state = CellState() if state is None else state
        self.progress = Progress(cell, plan, clock, self.state)
        self.seconds_to_first_step: float | None = None
        with clock.on("loading"):
            self.packed = packed.to(self.device)
            if not self.is_pretrained:
                log.warning(
                    "%s: no pretrained weights: the backbone is randomly initialised and all layers are trained", cell
                )
            seed_all(cell.seed, "network")
            model = architectures.build_model(cell.model, len(packed.labels), self.settings.dropout, weights)
            self.splitter = architectures.layer_group_splitter(cell.model)
            self.initial_weights = self.group_weights(model)
            self.statistics = architectures.normalization(cell.model)
            torch_device.configure_kernels(tf32=self.settings.tf32, deterministic=self.settings.deterministic)
            self.precision = torch_device.choose_precision(self.settings.precision, self.device)
            self.learner = make_learner(model, self.splitter, self.settings, self.device, self.precision)
            self._training_images: ImagesBySize = {}
            for phase in plan.phases:
                for size in phase.stored_sizes():
                    self.resize(size, packed.training_rows[:WARM_UP_IMAGES], phase.upsample_to)

    @property
    def model(self) -> nn.Module:
        """The model that trains."""
        return self.learner.model

    def set_trainable(self, layers: Layers) -> None:
        """Unfreeze all layers, or freeze all but the head; statistics of a random backbone are never frozen."""
        set_trainable(self.learner, layers, freeze_batchnorm=self.settings.freeze_batchnorm and self.is_pretrained)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the weights and the state to a checkpoint."""
        with self.clock.on("checkpoint"):
            self.state.seconds, self.state.wall = dict(self.clock.seconds), self.clock.now()
            self.state.peak_memory = self.peak_memory()
            weights = {name: tensor.cpu().numpy() for name, tensor in self.model.state_dict().items()}
            checkpoint.save(self.state, weights)

    def resume(self, weights: Mapping[str, NDArray]) -> None:
        """Continue after the last finished phase of an interrupted process, whose state this trainer has."""
        self.model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        self.clock.resume(self.state.seconds, self.state.wall)
        with self.clock.on("loading"):
            # their resizing is already part of the seconds of the interrupted process
            self._resize_training_images(self.plan.phases[self.state.phases_finished - 1])
        self.state.times_resumed += 1
        log.info("%s: resuming from the checkpoint after phase %s", self.cell, self.state.history[-1]["phase"])

    def peak_memory(self) -> int:
        """Return the most bytes that were allocated on a GPU, in earlier processes of the cell too."""
        here = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else 0
        return max(self.state.peak_memory, here)

    def group_weights(self, model: nn.Module) -> list[Tensor]:
        """Return a flat copy of the parameters of each layer group: early layers, late layers, head."""
        return [torch.cat([one.detach().flatten() for one in group]).cpu() for group in self.splitter(model)]

    def train(self, phase: PhasePlan) -> None:
        """Train one phase: record the finder's curve, then run the cycles of the phase."""
        with device_errors(self.cell, self.settings, self.device, f"phase {phase.phase}", phase.size, phase):
            with self.clock.on("resize"):
                training = self._resize_training_images(phase)
            with self.clock.on("validation"):
                rows = self.packed.validation_rows
                validation = {size: self.resize(size, rows, phase.upsample_to) for size in phase.validation_sizes()}
            self.set_trainable(phase.layers)
            architectures.set_dropout(self.model, phase.dropout)
            if self.seconds_to_first_step is None:
                self.seconds_to_first_step = self.clock.now() - self.clock.earlier
            with self.clock.on("lr_finder"):
                # at every size, because that also warms the device up; the last size is the phase's own
                for size in training:
                    learning_rate = self._find_learning_rate(phase, training[size], validation[size])
            epochs = self._data_by_epoch(phase, training, validation)
            seed_all(self.cell.seed, phase.phase)
            self.learner.dls = self.loaders(epochs[0].training, epochs[0].validation, phase, epochs[0].batches)
            rates = phase.learning_rates(learning_rate)
            schedule = CyclicSchedule(rates, phase.lengths, phase.lr_factors, phase.anneal)
            callbacks = [
                DataByEpoch(epochs),
                EpochClock(self.clock),
                ParamScheduler({"lr": schedule}),
                StepRecorder(phase, self.state),
                EpochRecorder(phase, self.state, self.progress),
            ]
            if phase.mixup:
                callbacks.append(mixup_callback(phase.mixup))
            if self.tensorboard:
                callbacks.append(tensorboard_callback(self.tensorboard / phase.phase))
            with self.learner.no_logging():
                self.learner.fit(phase.epochs, cbs=callbacks, reset_opt=True)
        self._check_loss()
        for batch in chain.from_iterable(data.batches for data in epochs):
            self.state.passes[batch.size] += batch.images
        self.state.phases_finished += 1

    def resize(self, size: int, rows: NDArray[np.intp], upsample_to: int | None = None) -> ResizedImages:
        """Return images at a size, on the device."""
        return resize_images(self.packed, size, self.settings.resize_method, self.device, upsample_to, rows)

    def loaders_at(self, size: int) -> DataLoaders:
        """Return training and validation batches of a size."""
        training = CropDataset.of(self.resize(size, self.packed.training_rows), augmented=True)
        return self.loaders(training, CropDataset.of(self.resize(size, self.packed.validation_rows), augmented=False))

    def loaders(
        self,
        training: ImageDataset,
        validation: ImageDataset,
        phase: PhasePlan | None = None,
        batches: Sequence[Batch] | None = None,
    ) -> DataLoaders:
        """Return training and validation batches.

        Parameters
        ----------
        training, validation : ImageDataset
            The images.
        phase : PhasePlan, optional
            Phase whose batch size and augmentation are used; by default, those of the training settings.
        batches : sequence of Batch, optional
            The training batches of the first epoch, if their sizes differ.
        """
        settings = self.settings
        augmentation = phase.augmentation if phase else settings.augmentation
        batch_size = phase.batch_size_of(training.size) if phase else settings.batch_size
        loader = partial(make_loader, augmentation=augmentation, statistics=self.statistics)
        return DataLoaders(
            loader(training, batch_size, shuffle=True, n_parts=settings.gradient_accumulation, plan=batches),
            loader(validation, micro_batch_size(settings)),
            device=self.device,
        )

    def predict(self, loader: DeviceLoader) -> Tensor:
        """Return class probabilities of the images of a loader, shape (n, classes), on the host.

        They are computed in float32, whatever the precision of training: near-ties of two classes
        would be decided by the rounding of bf16. cuDNN does not autotune, because most sizes and
        batches occur only once.
        """
        # what fastai asks about batches it asks the learner's own loaders, of which a trained cell has none
        self.learner.dls = DataLoaders(loader, device=self.device)
        autotune = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = False
        try:
            mixed_precision = list(self.learner.cbs.filter(risinstance(MixedPrecision)))
            with self.learner.removed_cbs(mixed_precision), torch.autocast(self.device.type, enabled=False):
                return self.learner.get_preds(dl=loader, reorder=False)[0]
        finally:
            torch.backends.cudnn.benchmark = autotune

    def _resize_training_images(self, phase: PhasePlan) -> ImagesBySize:
        """Return the training images of a phase; those of the previous phase are used again if they have its sizes."""
        sizes = phase.stored_sizes()
        # others are freed first
        resized = {size: images for size, images in self._training_images.items() if size in sizes}
        self._training_images = resized
        for size in sizes:
            if size not in resized:
                resized[size] = self.resize(size, self.packed.training_rows, phase.upsample_to)
                on_device = resized[size].pixels.device.type == self.device.type
                if not on_device and resized[size].size not in self.state.sizes_in_host_memory:
                    self.state.sizes_in_host_memory.append(resized[size].size)
        return {size: resized[size] for size in sizes}

    def _data_by_epoch(self, phase: PhasePlan, training: ImagesBySize, validation: ImagesBySize) -> list[EpochData]:
        """Return the batches, the training images and the validation images of each epoch."""
        crops = {size: CropDataset.of(training[size], augmented=True) for size in training}
        mixed = MixedSizeDataset(crops)
        # a generator of their own: order and augmentation of the images are those of regimes with a single size
        sizes = random.Random(derive_seed(self.cell.seed, f"{phase.phase} sizes"))
        return [
            EpochData(
                mixed if phase.drawn else crops[phase.sizes[-1] if phase.ramp else size],
                phase.batches(epoch, len(self.packed.training_rows), sizes),
                CropDataset.of(validation[size], augmented=False),
            )
            for epoch, size in enumerate(phase.sizes)
        ]

    def _check_loss(self) -> None:
        last = self.state.history[-1]
        if not math.isfinite(last["training_loss"]):
            raise EntrError(
                f"{self.cell}: the training loss is {last['training_loss']} in phase {last['phase']}, epoch "
                f"{last['epoch']}, at learning rate {last['learning_rate']:g}; lower training.learning_rate"
            )

    def _find_learning_rate(self, phase: PhasePlan, training: ResizedImages, validation: ResizedImages) -> float:
        """Run fastai's finder, which restores the model, record its curve, and return the head's learning rate."""
        finder = self.settings.lr_finder
        seed_all(self.cell.seed, f"{phase.phase} finder")
        crops = CropDataset.of(training, augmented=True)
        self.learner.dls = self.loaders(crops, CropDataset.of(validation, augmented=False), phase)
        with self.learner.no_logging():
            epochs = finder.steps // len(self.learner.dls.train) + 1
            self.learner.fit(epochs, cbs=InMemoryLRFinder(finder.start, finder.end, finder.steps))
        rates, losses = self.learner.recorder.lrs, [float(loss) for loss in self.learner.recorder.losses]
        self.state.lr_find += [
            {"phase": phase.phase, "size": training.size, "step": step, "learning_rate": rate, "loss": loss}
            for step, (rate, loss) in enumerate(zip(rates, losses, strict=True))
        ]
        if finder.rule == "none":
            return phase.learning_rate
        begin, end = finder.steps // 10, len(rates) - SKIPPED_AT_END
        if end - begin < MIN_POINTS_TO_SUGGEST:
            raise EntrError(
                f"{self.cell}: the learning-rate finder of phase {phase.phase} stopped after {len(rates)} of "
                f"{finder.steps} steps, too few to suggest a learning rate; set training.lr_finder.rule: none, or "
                "lower training.lr_finder.end"
            )
        rule = SUGGESTIONS[finder.rule]
        suggested, _ = rule(torch.tensor(rates[begin:end]), torch.tensor(losses[begin:end]), finder.steps)
        log.info(
            "%s: learning rate %.2g in phase %s, suggested by the LR finder (%s)",
            *(self.cell, suggested, phase.phase, finder.rule),
        )
        return suggested
