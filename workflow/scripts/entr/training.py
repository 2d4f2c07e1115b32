"""One cell of the grid: a network trained through the phases of a regime, timed and measured.

The steps are those of fast.ai's course of 2018, run by today's fastai `Learner`, schedulers and
callbacks; there is no second training loop. `T`, the time that the experiment is about, is the
time spent in training steps and in the resizing that they need; everything else is timed apart.
"""

import hashlib
import logging
import math
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.callback.schedule import ParamScheduler, minimum, steep, valley
from fastai.callback.training import BnFreeze, GradientAccumulation
from fastai.data.core import DataLoaders
from fastai.learner import Learner, Recorder
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from entr import callbacks, devices, networks
from entr.callbacks import Clock, CompiledSteps, EpochClock, History, Progress, SizeByEpoch, Steps, cosine_restarts
from entr.checkpoints import Checkpoint
from entr.guards import EntrError, atomic_write, exclusive, sha256
from entr.measures import Cell, Evaluation, LayerGroup, Mechanism, Metrics, Quality, quality
from entr.pixels import Cuts, Draws, Pixels, Resized, loader, resized
from entr.regimes import Plan, Stage, Step

log = logging.getLogger("entr")

RULES = {"valley": valley, "steep": steep, "minimum": minimum}
"""fastai's suggestions for a learning rate from the finder's curve."""
FEWEST_TO_CHOOSE_FROM = 6
"""Points of the finder's curve without which a suggestion would be chance."""


def train_cell(
    cell: Cell,
    plan: Plan,
    *,
    pixels: str | Path,
    manifest: str | Path,
    split: str | Path,
    weights: str | Path | None,
    folder: str | Path,
    checkpoint: str | Path,
    code: str = "",
    board: str | Path | None = None,
) -> None:
    """Train and measure one cell, or go on with it where a killed job ended.

    All random numbers of a phase come from the seed and the phase's name, and the optimizer is fresh
    in each; so the weights after a phase are all that the next one needs, and a cell that was killed
    gives the same numbers as one that was not, on the same machine.

    Parameters
    ----------
    cell, plan : Cell, Plan
        Which cell, and how it is trained.
    pixels, manifest, split : path
        The packed images, the manifest of their rows, and which of them validate.
    weights : path or None
        Weights of the whole network, or none for random ones.
    folder : path
        Gets ``metrics.json`` (`measures.Metrics`), ``history.csv`` (a row an epoch), ``steps.csv``
        (a row a training step), ``lr_find.csv`` (a row a step of the finder), ``predictions.csv`` (a
        row a stage, size and validation image) and ``model.safetensors``; the metrics last.
    checkpoint : path
        Keeps what is finished after each phase; removed when the cell is.
    code : str
        A digest of the code; a checkpoint of other code is not gone on from.
    board : path, optional
        Gets what TensorBoard shows, in a folder for each phase.

    Raises
    ------
    EntrError
        When there is no such device, the weights do not fit, the loss is not finite, or another
        process trains the same cell.
    """
    with exclusive(Path(checkpoint).with_suffix(".lock"), f"the cell {cell}"):
        device = devices.choose(plan.training.device)
        trainer = Trainer(cell, plan, Clock.since_the_process_began(device), board)
        trainer.open(Pixels.open(pixels, manifest, split), weights)
        kept = Checkpoint(
            Path(checkpoint),
            {
                "configuration": _digest(cell.model_dump_json(), plan.model_dump_json()),
                "code": code,
                "data": _digest(sha256(manifest), sha256(split), *map(str, _size_and_time(pixels))),
                "weights": sha256(weights) if weights else "none",
                "machine": devices.describe(device).model_dump_json(),
            },
        )
        trainer.resume(kept)
        for step in plan.steps[trainer.finished :]:
            trainer.train(step)
            if step.phase == plan.training.sub_total_after:
                trainer.measure("sub-total", step.size)
            trainer.keep(kept)
        trainer.measure("total", plan.steps[-1].size)
        trainer.measure("total-tta", plan.tta_size)
        trainer.write(Path(folder))
        kept.remove()


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _size_and_time(path: str | Path) -> tuple[int, int]:
    """Tell a file of gigabytes from another without reading it."""
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns


class Trainer:
    """The state of a cell while it trains.

    Parameters
    ----------
    cell, plan : Cell, Plan
        Which cell, and how it is trained.
    clock : Clock
        Runs from here on.
    board : path, optional
        As in `train_cell`.
    """

    def __init__(self, cell: Cell, plan: Plan, clock: Clock, board: str | Path | None = None) -> None:
        self.cell, self.plan, self.clock, self.board = cell, plan, clock, board
        self.progress = Progress(cell, plan, clock)
        self.history: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.rates: list[dict[str, Any]] = []
        self.predictions: list[pd.DataFrame] = []
        self.evaluations: list[Evaluation] = []
        self.mechanism: list[Mechanism] = []
        self.test_sizes: dict[int, Quality] = {}
        self.seconds_until: dict[str, float] = {}
        self.image_passes: dict[str, dict[int, int]] = {}
        self.passes: Counter[int] = Counter()
        self.finished, self.resumed = 0, 0
        self.seconds_to_first_step: float | None = None
        self.peak_memory = 0

    def open(self, pixels: Pixels, weights: str | Path | None) -> None:
        """Build the network and the learner."""
        with self.clock.on("loading"):
            self.pixels = pixels.to(self.clock.device)
            self.training_rows = np.flatnonzero(~pixels.validation)
            self.validation_rows = np.flatnonzero(pixels.validation)
            if weights is None:
                log.warning(
                    "%s: no pretrained weights: the body starts from random numbers, all layers train", self.cell
                )
            self.statistics = networks.normalization(self.cell.model)
            self._draw_from("network")
            settings = self.plan.training
            network = networks.build(self.cell.model, len(pixels.labels), settings.dropout, weights)
            if settings.compile != "none":
                devices.compile_steps(network, settings.compile)
            self.splitter = networks.layer_groups(self.cell.model)
            self.first_weights = self._weights(network)
            self.learner = Learner(
                DataLoaders(),
                network.to(self.clock.device, memory_format=torch.channels_last),
                loss_func=CrossEntropyLossFlat(),
                opt_func=partial(
                    OptimWrapper,
                    opt=torch.optim.SGD,
                    momentum=settings.momentum,
                    weight_decay=settings.weight_decay,
                    # one kernel for all layers, where there are kernels
                    fused=self.clock.device.type == "cuda",
                ),
                lr=settings.learning_rate,
                splitter=self.splitter,
                metrics=accuracy,
                train_bn=False,
                default_cbs=False,
                # a frozen body's BatchNorm uses its stored statistics, as in fastai 0.7
                cbs=[TrainEvalCallback(), Recorder(), BnFreeze(), *self._numerics()],
            )

    def _weights(self, network: nn.Module) -> list[Tensor]:
        """Return a copy of the weights of each layer group, shape (weights,)."""
        return [torch.cat([one.detach().flatten() for one in group]).cpu() for group in self.splitter(network)]

    def _numerics(self) -> list[Callback]:
        """Return fastai's callbacks for the precision and for batches in parts."""
        settings = self.plan.training
        devices.set_kernels(tf32=settings.tf32, deterministic=settings.deterministic)
        self.precision = devices.precision(settings.precision, self.clock.device)
        mixed = [MixedPrecision(AMPMode.BF16)] if self.precision == "bf16" else []
        batch = min(settings.batch_size, len(self.training_rows))
        parts = [GradientAccumulation(batch)] if settings.accumulation > 1 else []
        return [*mixed, *parts, *([CompiledSteps()] if settings.compile != "none" else [])]

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep what the next phases need and what is known so far."""
        self.finished += 1
        with self.clock.on("checkpoint"):
            checkpoint.save(
                {name: value.cpu().numpy() for name, value in self.learner.model.state_dict().items()},
                {
                    "finished": self.finished,
                    "resumed": self.resumed,
                    "seconds": self.clock.seconds,
                    "wall": self.clock.now(),
                    "epoch": self.progress.epoch,
                    "work_done": self.progress.work_done,
                    "history": self.history,
                    "steps": self.steps,
                    "rates": self.rates,
                    "evaluations": [one.model_dump(mode="json") for one in self.evaluations],
                    "mechanism": [one.model_dump(mode="json") for one in self.mechanism],
                    "predictions": [
                        {name: [str(column.dtype), column.tolist()] for name, column in table.items()}
                        for table in self.predictions
                    ],
                    "seconds_until": self.seconds_until,
                    "image_passes": {stage: list(passes.items()) for stage, passes in self.image_passes.items()},
                    "passes": list(self.passes.items()),
                    "peak_memory": self._peak_memory(),
                },
            )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take up what a killed job of the same cell has kept, if there is any."""
        found = checkpoint.load()
        if found is None:
            return
        arrays, kept = found
        self.learner.model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        self.finished, self.resumed, self.peak_memory = kept["finished"], kept["resumed"] + 1, kept["peak_memory"]
        self.clock.go_on(kept["seconds"], kept["wall"])
        self.progress.epoch, self.progress.work_done = kept["epoch"], kept["work_done"]
        self.history, self.steps, self.rates = kept["history"], kept["steps"], kept["rates"]
        self.seconds_until = kept["seconds_until"]
        self.evaluations = [Evaluation.model_validate(one) for one in kept["evaluations"]]
        self.mechanism = [Mechanism.model_validate(one) for one in kept["mechanism"]]
        self.predictions = [
            pd.DataFrame({name: pd.Series(values, dtype=kind) for name, (kind, values) in table.items()})
            for table in kept["predictions"]
        ]
        self.image_passes = {stage: dict(passes) for stage, passes in kept["image_passes"].items()}
        self.passes = Counter(dict(kept["passes"]))
        log.info(
            "%s: goes on after phase %s, which a job that was killed finished", self.cell, self.history[-1]["phase"]
        )

    def _peak_memory(self) -> int:
        device = self.clock.device
        here = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        return max(self.peak_memory, here)

    def train(self, step: Step) -> None:
        """Train one phase: record the finder's curve, then run the phase's cycles."""
        with self._on_device(f"phase {step.phase}", step.size):
            with self.clock.on("resize"):
                images = {size: self.at_size(self.pixels, size, step.enlarge_to) for size in step.reduced_to()}
            self.learner.unfreeze() if step.layers == "all" else self.learner.freeze()
            if self.seconds_to_first_step is None:
                self.seconds_to_first_step = self.clock.now() - self.clock.earlier
            with self.clock.on("rate_finder"):
                # at every size, which warms the device up for it; of a drawn size the largest is the last
                *_, rate = (self._find_rate(step, one) for one in images.values())
            self._draw_from(step.phase)
            loaders = self._loaders_of(step, images)
            listeners = [
                SizeByEpoch(loaders),
                EpochClock(self.clock),
                ParamScheduler({"lr": cosine_restarts(step.rates(rate), step.lengths)}),
                Steps(step, self.steps, self.progress),
                History(step, self.history, self.progress),
                *([callbacks.board(Path(self.board, step.phase))] if self.board else []),
            ]
            with self.learner.no_logging():
                self.learner.fit(step.epochs, cbs=listeners, reset_opt=True)
        self._check_loss()
        self._count(step, loaders)

    def _loaders_of(self, step: Step, images: Mapping[int, Resized]) -> list[DataLoaders]:
        """Return the batches of each epoch of a phase."""
        if step.drawn:
            return [self.loaders(*images.values())] * step.epochs
        by_size = {size: self.loaders(one) for size, one in images.items()}
        return [by_size[size] for size in step.sizes]

    def _count(self, step: Step, loaders: Sequence[DataLoaders]) -> None:
        """Count the images that went through a phase, by the size that the network was shown."""
        if step.drawn:
            self.passes.update(loaders[0].train.dataset.seen)
            return
        for epoch, one in enumerate(loaders):
            self.passes[step.shown_in(epoch)] += len(one.train) // one.train.parts * one.train.bs

    @contextmanager
    def _on_device(self, what: str, size: int) -> Iterator[None]:
        """Turn what a device cannot do into one clear error; a smaller batch would be another experiment."""
        try:
            yield
        except torch._dynamo.exc.BackendCompilerFailed as error:
            raise EntrError(
                f"{self.cell}: torch cannot compile the training steps ({networks.one_line(error)}); install what is "
                "missing, or set training.compile: none"
            ) from error
        except torch.OutOfMemoryError as error:
            free = torch.cuda.mem_get_info(self.clock.device)[0] / 1e9 if self.clock.device.type == "cuda" else 0
            batch, parts = self.plan.training.batch_size, self.plan.training.accumulation
            raise EntrError(
                f"{self.cell}: the memory of {devices.name(self.clock.device)} ({free:.1f} GB free) is too small "
                f"in {what} for {self._images_at_once()} images of {size} px at once, of batches of {batch}; "
                f"set training.accumulation: {2 * parts}, which keeps the batch, or lower training.batch_size"
            ) from error

    def _check_loss(self) -> None:
        last = self.history[-1]
        if not math.isfinite(last["training_loss"]):
            raise EntrError(
                f"{self.cell}: the training loss is {last['training_loss']} in phase {last['phase']}, epoch "
                f"{last['epoch']}, at learning rate {last['learning_rate']:g}; lower training.learning_rate"
            )

    def _find_rate(self, step: Step, images: Resized) -> float:
        """Run fastai's finder, which restores the network, keep its curve, and return the head's rate."""
        finder = self.plan.training.rate_finder
        self._draw_from(f"{step.phase} finder")
        self.learner.dls = self.loaders(images)
        with tempfile.TemporaryDirectory() as folder:
            self.learner.path = Path(folder)
            self.learner.lr_find(finder.start, finder.end, finder.steps, show_plot=False, suggest_funcs=None)
        rates, losses = self.learner.recorder.lrs, list(map(float, self.learner.recorder.losses))
        self.rates += [
            {"phase": step.phase, "size": images.size, "step": number, "learning_rate": rate, "loss": loss}
            for number, (rate, loss) in enumerate(zip(rates, losses, strict=True))
        ]
        if finder.rule == "none":
            return self.plan.training.learning_rate
        # as fastai's own finder does: without the noisy first tenth and what rises at the end
        begin, end = finder.steps // 10, len(rates) - 5
        if end - begin < FEWEST_TO_CHOOSE_FROM:
            raise EntrError(
                f"{self.cell}: the learning-rate finder of phase {step.phase} stopped after {len(rates)} of "
                f"{finder.steps} steps, too few to choose a rate from; set training.rate_finder.rule: none, or lower "
                "training.rate_finder.end"
            )
        found, _ = RULES[finder.rule](torch.tensor(rates[begin:end]), torch.tensor(losses[begin:end]), finder.steps)
        log.info("%s: %s learns at %.2g, by the finder's rule %s", self.cell, step.phase, found, finder.rule)
        return found

    def measure(self, stage: str, size: int) -> None:
        """Measure a stage at the size of its phase and at the full size."""
        self.seconds_until[stage] = self.clock.training
        self.image_passes[stage] = dict(self.passes)
        full = self.plan.training.full_size
        with self._on_device(f"stage {stage}", max(size, full)), self.clock.on("evaluation"):
            sides = {side: self._cuts(self.validation_rows, side) for side in {size, full}}
            found = {side: self.predict(cuts, with_tta=stage == "total-tta") for side, cuts in sides.items()}
            of_phase = self._keep(stage, "phase", size, found[size])
            of_full = self._keep(stage, "full", full, found[full])
            if stage != "total-tta":
                self._explain(stage, of_full)
            if stage == "total":
                self._measure_at_test_sizes()
        log.info("%s: %s accuracy %.1f %% at %d px", self.cell, stage, 100 * of_phase.accuracy, size)

    def _explain(self, stage: Stage, of_validation: Quality) -> None:
        """Measure how well the training images are known, and how far the weights have come."""
        full = self.plan.training.full_size
        of_training = quality(
            self.predict(self._cuts(self.training_rows, full)), self.pixels.classes[self.training_rows]
        )
        groups = {
            name: LayerGroup(distance=float((now - first).norm() / first.norm()), norm=float(now.norm()))
            for name, now, first in zip(
                ("early", "late", "head"), self._weights(self.learner.model), self.first_weights, strict=True
            )
        }
        self.mechanism.append(Mechanism(stage=stage, size=full, training=of_training, **groups))
        log.info(
            "%s: %s accuracy at %d px: %.1f %% of training images, %.1f %% of validation images",
            self.cell, stage, full, 100 * of_training.accuracy, 100 * of_validation.accuracy,
        )  # fmt: skip

    def _measure_at_test_sizes(self) -> None:
        truth = self.pixels.classes[self.validation_rows]
        for size in self.plan.training.test_sizes:
            with self._on_device("test_sizes", size):
                probabilities = self.predict(self._cuts(self.validation_rows, size))
            self.test_sizes[size] = quality(probabilities, truth)

    def _cuts(self, rows: NDArray[np.intp], size: int) -> Cuts:
        """Return some images at a size, as they are."""
        return Cuts(self.at_size(self.pixels.part(rows), size), np.arange(len(rows)), augmented=False)

    def predict(self, cuts: Cuts, *, with_tta: bool = False) -> NDArray[np.float32]:
        """Return class probabilities of images, the equal mean over all views, shape (images, classes)."""
        self._draw_from("views")
        settings = self.plan.training
        views = []
        for augmented in [False] + [True] * (settings.tta_views if with_tta else 0):
            batches = loader(
                replace(cuts, augmented=augmented),
                self._images_at_once(),
                settings.augmentation,
                statistics=self.statistics,
            )
            # what fastai asks about batches it asks its own, which a cell that trains no more has none of
            self.learner.dls = DataLoaders(batches, device=self.clock.device)
            views.append(self.learner.get_preds(dl=batches, reorder=False)[0])
        return torch.stack(views).mean(0).numpy()

    def _keep(self, stage: str, at: str, size: int, probabilities: NDArray[np.float32]) -> Quality:
        rows = self.validation_rows
        truth = self.pixels.classes[rows]
        labels = np.array(self.pixels.labels)
        found = quality(probabilities, truth)
        self.evaluations.append(Evaluation(stage=stage, at=at, size=size, quality=found))
        self.predictions.append(
            pd.DataFrame(
                {
                    "stage": stage,
                    "at": at,
                    "size": size,
                    "image": np.array(self.pixels.names)[rows],
                    "label": labels[truth],
                    "predicted": labels[probabilities.argmax(1)],
                    "probability_of_label": probabilities[np.arange(len(rows)), truth],
                    "probability_of_predicted": probabilities.max(1),
                }
            )
        )
        return found

    def at_size(self, pixels: Pixels, size: int, enlarge_to: int | None = None) -> Resized:
        """Return images at a size, and enlarged again if that is asked for, on the device."""
        return resized(pixels, size, self.plan.training.fit, self.clock.device, enlarge_to)

    def loaders(self, *images: Resized) -> DataLoaders:
        """Return training batches, of drawn sizes if there are several, and validation batches of the last size."""
        settings = self.plan.training
        cuts = [Cuts(one, self.training_rows, augmented=True) for one in images]
        train = Draws(cuts) if len(cuts) > 1 else cuts[0]
        valid = Cuts(images[-1], self.validation_rows, augmented=False)
        how = {"augmentation": settings.augmentation, "statistics": self.statistics}
        return DataLoaders(
            loader(train, settings.batch_size, shuffle=True, parts=settings.accumulation, **how),
            loader(valid, self._images_at_once(), **how),
            device=self.clock.device,
        )

    def _images_at_once(self) -> int:
        """Return how many images the device holds while it trains, which is also how many are predicted at once."""
        return -(-self.plan.training.batch_size // self.plan.training.accumulation)

    def _draw_from(self, purpose: str) -> None:
        """Start all random numbers anew from the seed and a purpose, so that regimes share them."""
        state = np.random.SeedSequence([self.cell.seed, *purpose.encode()]).generate_state(1)[0]
        random.seed(int(state))
        np.random.seed(state)
        torch.manual_seed(int(state))

    def write(self, folder: Path) -> None:
        """Write everything that the cell leaves; the metrics last."""
        state = {name: value.contiguous().cpu() for name, value in self.learner.model.state_dict().items()}
        with atomic_write(folder / "model.safetensors", "wb") as file:
            file.write(save(state, {"model": self.cell.model, "classes": "\n".join(self.pixels.labels)}))
        tables = {
            "history": pd.DataFrame(self.history),
            "steps": pd.DataFrame(self.steps),
            "lr_find": pd.DataFrame(self.rates),
            "predictions": pd.concat(self.predictions),
        }
        for name, table in tables.items():
            with atomic_write(folder / f"{name}.csv") as file:
                table.to_csv(file, index=False)
        with atomic_write(folder / "metrics.json") as file:
            file.write(self.metrics().model_dump_json(indent=2) + "\n")

    def metrics(self) -> Metrics:
        """Return all that is known of the cell."""
        device = self.clock.device
        return Metrics(
            **self.cell.model_dump(),
            plan=self.plan,
            precision=self.precision,
            epochs=self.plan.epochs,
            classes=len(self.pixels.labels),
            training_images=len(self.training_rows),
            validation_images=len(self.validation_rows),
            evaluations=tuple(self.evaluations),
            mechanism=tuple(self.mechanism),
            test_sizes=self.test_sizes,
            seconds_until=self.seconds_until,
            image_passes=self.image_passes,
            seconds=self.clock.summary(),
            peak_memory_mb=self._peak_memory() / 1e6 if device.type == "cuda" else None,
            seconds_to_first_step=self.seconds_to_first_step,
            resumed=self.resumed,
            environment=devices.describe(device),
        )
