"""fastai callbacks: image size, compilation, recording of steps and epochs, TensorBoard."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.schedule import LRFinder, ParamScheduler
from fastai.callback.training import GradientAccumulation
from fastai.learner import AvgSmoothLoss, Learner, Recorder
from torch import Tensor

from entr.config.training_plan import Batch, PhasePlan
from entr.jobs.errors import EntrError
from entr.training.batches import ImageDataset
from entr.training.cell_state import CellState
from entr.training.progress_log import Progress, relative_work


class DeviceSmoothLoss(AvgSmoothLoss):
    """fastai's smoothed training loss, kept on the device.

    fastai copies the loss to the host in every step, and so waits for the device within *T*.
    """

    count: int
    val: Tensor

    def accumulate(self, learn: Learner) -> None:
        """Add the loss of a step."""
        loss = learn.loss.detach().mean()
        # a zero made on the device, because a copy from the host would be waited for
        smoothed = self.val if self.count else torch.zeros_like(loss)
        self.count += 1
        self.val = torch.lerp(loss, smoothed, self.beta)


def device_recorder() -> Recorder:
    """Return fastai's recorder without a copy from the device in training steps."""
    recorder = Recorder()
    recorder.smooth_loss = DeviceSmoothLoss()
    return recorder


class InMemoryLRFinder(LRFinder):
    """fastai's learning-rate finder, which otherwise restores the model from a file."""

    def __init__(self, start: float, end: float, steps: int) -> None:
        super().__init__(start, end, steps)
        # fastai makes at least six steps, which is more than a scaled-down experiment has time for
        self.num_it = steps

    def before_fit(self) -> None:  # noqa: D102
        ParamScheduler.before_fit(self)
        # on the host, so that the peak memory is that of training
        self.initial = {name: tensor.to("cpu", copy=True) for name, tensor in self.model.state_dict().items()}
        self.best_loss = math.inf

    def after_fit(self) -> None:  # noqa: D102
        self.opt.zero_grad()
        self.opt.clear_state()
        self.model.load_state_dict(self.initial)


@dataclass(frozen=True)
class EpochData:
    """What an epoch trains on and is validated on."""

    training: ImageDataset
    batches: Sequence[Batch]
    validation: ImageDataset


class DataByEpoch(Callback):
    """The images of each epoch, set before its training is timed; all epochs share the random numbers of one loader.

    Parameters
    ----------
    epochs : sequence of EpochData
        One per epoch.
    """

    order = -101

    def __init__(self, epochs: Sequence[EpochData]) -> None:
        self.epochs = epochs

    def before_epoch(self) -> None:  # noqa: D102
        data = self.epochs[self.epoch]
        self.dls.train.dataset, self.dls.train.plan = data.training, data.batches
        self.dls.valid.dataset = data.validation


class AccumulationByBatch(GradientAccumulation):
    """fastai's gradient accumulation for batches of any number of images."""

    def before_fit(self) -> None:  # noqa: D102
        super().before_fit()
        self.steps = 0

    def before_train(self) -> None:  # noqa: D102
        self.steps = 0

    def before_batch(self) -> None:  # noqa: D102
        self.n_acc = self.dls.train.batches[self.steps].images

    def before_step(self) -> None:  # noqa: D102
        super().before_step()
        # not reached if the step is skipped
        self.steps += 1


class CompiledSteps(Callback):
    """Compiled code in training only: each other batch size or mode would be compiled as well."""

    order = -102

    def before_train(self) -> None:  # noqa: D102
        torch.compiler.set_stance("default")

    def before_validate(self) -> None:  # noqa: D102
        torch.compiler.set_stance("force_eager")


class StepRecorder(Callback):
    """Recorder of the size, learning rates, momentum, dropout and loss of each training step."""

    order = 60

    def __init__(self, phase: PhasePlan, state: CellState) -> None:
        self.phase, self.state = phase, state

    def before_train(self) -> None:  # noqa: D102
        self.rows: list[dict[str, Any]] = []
        self.losses: list[Tensor] = []

    def after_step(self) -> None:  # noqa: D102
        early, late, head = self.opt.hypers
        batch = self.dls.train.batches[len(self.rows)]
        self.rows.append(
            {
                "size": batch.size,
                "images": batch.images,
                "dropout": self.phase.dropout,
                "rate_early": early["lr"],
                "rate_late": late["lr"],
                "learning_rate": head["lr"],
                "momentum": head["mom"],
            }
        )
        self.losses.append(self.loss.detach())

    def after_train(self) -> None:  # noqa: D102
        shared = {"phase": self.phase.phase, "epoch": self.state.epoch}
        steps = self.state.steps
        # the device is waited for once, after the clock has stopped
        for row, loss in zip(self.rows, torch.stack(self.losses).tolist(), strict=True):
            steps.append({"step": len(steps) + 1, **shared, **row, "loss": loss})


class EpochRecorder(Callback):
    """Recorder of losses, accuracy and speed of each epoch, after fastai's recorder; it also logs them."""

    order = 70

    def __init__(self, phase: PhasePlan, state: CellState, progress: Progress) -> None:
        self.phase, self.state, self.progress = phase, state, progress

    def before_epoch(self) -> None:  # noqa: D102
        self.state.epoch += 1

    def after_batch(self) -> None:  # noqa: D102
        if self.training and self.iter == 0:
            self.learning_rate = self.opt.hypers[-1]["lr"]
        if self.training and self.progress.is_due():
            share = 100 * (self.iter + 1) / self.n_iter
            self.progress.log(self.phase, self._size(), f"{share:.0f} % of the epoch")

    def _size(self) -> int:
        return self.phase.input_size_in(self.epoch)

    def after_epoch(self) -> None:  # noqa: D102
        training_loss, validation_loss, accuracy = self.recorder.final_record
        clock = self.learn.epoch_clock  # fastai names the attribute after the class `EpochClock`
        batches = self.dls.train.batches
        images = sum(batch.images for batch in batches)
        self.state.history.append(
            {
                "epoch": self.state.epoch,
                "phase": self.phase.phase,
                "size": self._size(),
                "layers": self.phase.layers,
                "learning_rate": self.learning_rate,
                "training_loss": training_loss,
                "validation_loss": validation_loss,
                "accuracy": accuracy,
                "training_seconds": clock.training_seconds,
                "issue_seconds": clock.issue_seconds,
                "validation_seconds": clock.validation_seconds,
                "images_per_second": images / clock.training_seconds,
            }
        )
        if not math.isfinite(training_loss):
            # the error itself is raised by the trainer, because fastai rewords exceptions of callbacks
            raise CancelFitException
        self.state.work_done += relative_work(self.phase, self.epoch)
        losses = f"training loss {training_loss:.3f}, validation loss {validation_loss:.3f}"
        launch_bound = ", launch-bound" if clock.is_launch_bound(len(batches)) else ""
        self.progress.log(
            self.phase, self._size(), f"{losses}, validation accuracy {100 * accuracy:.1f} %{launch_bound}"
        )


def mixup_callback(alpha: float) -> Callback:
    """Return fastai's mixup with the parameter α of its Beta distribution."""
    from fastai.callback.mixup import MixUp  # noqa: PLC0415  torch's distributions are slow to import

    return MixUp(alpha)


def tensorboard_callback(folder: Path) -> Callback:
    """Return fastai's TensorBoard callback, restricted to epochs because steps are timed.

    Raises
    ------
    EntrError
        If TensorBoard is not installed.
    """
    try:
        from fastai.callback.tensorboard import TensorBoardCallback  # noqa: PLC0415  an optional dependency
    except ImportError as error:
        raise EntrError(
            f"logger: tensorboard needs the package {error.name}, which is not installed; run "
            "`uv pip install tensorboard`, or set logger: none"
        ) from error

    class EpochTensorBoard(TensorBoardCallback):
        def after_batch(self) -> None:
            """Write nothing within the timed steps."""

    return EpochTensorBoard(folder, trace_model=False, log_preds=False)
