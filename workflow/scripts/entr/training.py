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
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
from fastai.callback.core import Callback, CancelFitException, TrainEvalCallback
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.callback.schedule import ParamScheduler, SchedCos
from fastai.callback.training import BnFreeze, GradientAccumulation
from fastai.data.core import DataLoaders
from fastai.learner import CastToTensor, Learner, Recorder
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from numpy.typing import NDArray
from safetensors.torch import save

from entr import devices, networks
from entr.checkpoints import Checkpoint
from entr.guards import EntrError, atomic_write, sha256
from entr.measures import Evaluation, Metrics, Quality, Seconds, quality
from entr.pixels import Cuts, Draws, Pixels, Resized, loader, resized
from entr.regimes import Plan, Step
from entr.section import Section

log = logging.getLogger("entr")

SECONDS_BETWEEN_LINES = 20
"""A person who watches hears of a long epoch this often."""


class Cell(Section):
    """Which cell of the grid this is."""

    dataset: str
    model: str
    regime: str
    seed: int
    weights: str

    def __str__(self) -> str:
        return f"{self.dataset} {self.model} {self.regime} seed {self.seed}"


@dataclass
class Clock:
    """Seconds by what they were spent on; the device has finished whenever it is read."""

    device: torch.device
    started: float = field(default_factory=time.perf_counter)
    seconds: Counter[str] = field(default_factory=Counter)

    @classmethod
    def since_the_process_began(cls, device: torch.device) -> "Clock":
        """Return a clock that has run while Python and its packages were loaded."""
        age = time.time() - psutil.Process().create_time()
        return cls(device, time.perf_counter() - age, Counter(starting=age))

    def now(self) -> float:
        """Return seconds since the clock began."""
        devices.synchronize(self.device)
        return time.perf_counter() - self.started

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Add the time that a block takes."""
        begin = self.now()
        yield
        self.seconds[what] += self.now() - begin

    def go_on(self, seconds: dict[str, float], wall: float) -> None:
        """Add the time that a job spent which was killed; what it had not finished is lost and not counted."""
        self.seconds.update(seconds)
        self.started -= wall

    @property
    def training(self) -> float:
        """*T* so far: seconds in training steps and in the resizing that they need."""
        return self.seconds["training"] + self.seconds["resize"]

    def summary(self) -> Seconds:
        """Return all parts and their sum."""
        wall = self.now()
        parts = {name: self.seconds[name] for name in Seconds.model_fields if name not in {"other", "wall"}}
        return Seconds(**parts, other=max(0.0, wall - sum(parts.values())), wall=wall)


class EpochClock(Callback):
    """Time training and validation of each epoch apart; before every other callback."""

    order = -100

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def before_train(self) -> None:  # noqa: D102
        self.begin = self.clock.now()

    def after_train(self) -> None:  # noqa: D102
        self.training_seconds = self.clock.now() - self.begin
        self.clock.seconds["training"] += self.training_seconds

    def before_validate(self) -> None:  # noqa: D102
        self.begin = self.clock.now()

    def after_validate(self) -> None:  # noqa: D102
        self.validation_seconds = self.clock.now() - self.begin
        self.clock.seconds["validation"] += self.validation_seconds


class Progress:
    """Tell a person which cell trains, how far it is, how well, and how long it will take."""

    def __init__(self, cell: Cell, plan: Plan, clock: Clock) -> None:
        self.cell, self.plan, self.clock = cell, plan, clock
        self.epoch, self.work_done, self.said = 0, 0.0, clock.now()
        self.work = sum(_work(step, epoch) for step in plan.steps for epoch in range(step.epochs))

    def is_due(self) -> bool:
        """Tell whether a person has waited long; without waiting for the device."""
        return time.perf_counter() - self.clock.started > self.said + SECONDS_BETWEEN_LINES

    def say(self, step: Step, size: int, text: str) -> None:
        """Log one line."""
        self.said = self.clock.now()
        log.info(
            "%s: %s at %d px, epoch %d of %d: %s%s",
            self.cell, step.phase, size, self.epoch, self.plan.epochs, text, self._left(),
        )  # fmt: skip

    def _left(self) -> str:
        """Say how long the rest will take, once an epoch has shown how fast the machine is."""
        if not self.work_done:
            return ""
        seconds = self.said / self.work_done * (self.work - self.work_done)
        return f", about {int(seconds) // 60}:{int(seconds) % 60:02d} min left"


def _work(step: Step, epoch: int) -> float:
    """Return what an epoch costs relative to others: a step through all layers is thrice a forward pass."""
    return step.shown_in(epoch) ** 2 * (3 if step.layers == "all" else 1)


class SizeByEpoch(Callback):
    """Give each epoch the batches of its size; before the clock of its training starts."""

    order = -101

    def __init__(self, loaders: Sequence[DataLoaders]) -> None:
        self.loaders = loaders

    def before_epoch(self) -> None:  # noqa: D102
        self.learn.dls = self.loaders[self.epoch]


class History(Callback):
    """Keep a row for each epoch and tell the person who watches; after fastai's recorder."""

    order = 70

    def __init__(self, step: Step, rows: list[dict[str, Any]], progress: Progress) -> None:
        self.step, self.rows, self.progress = step, rows, progress

    def before_epoch(self) -> None:  # noqa: D102
        self.progress.epoch += 1

    def after_batch(self) -> None:  # noqa: D102
        if self.iter == 0 and self.training:
            self.rate = self.opt.hypers[-1]["lr"]
        if self.training and self.progress.is_due():
            self.progress.say(self.step, self._size(), f"{100 * (self.iter + 1) / self.n_iter:.0f} % of the epoch")

    def _size(self) -> int:
        return self.step.shown_in(self.epoch)

    def after_epoch(self) -> None:  # noqa: D102
        train_loss, valid_loss, share = self.recorder.final_record
        clock = self.learn.epoch_clock  # fastai names a callback so
        train = self.dls.train
        images = len(train) // train.parts * train.bs
        self.rows.append(
            {
                "epoch": self.progress.epoch,
                "phase": self.step.phase,
                "size": self._size(),
                "layers": self.step.layers,
                "learning_rate": self.rate,
                "training_loss": train_loss,
                "validation_loss": valid_loss,
                "accuracy": share,
                "training_seconds": clock.training_seconds,
                "validation_seconds": clock.validation_seconds,
                "images_per_second": images / clock.training_seconds,
            }
        )
        if not math.isfinite(train_loss):
            # a clear error is raised outside: fastai would wrap it in words of its own
            raise CancelFitException
        self.progress.work_done += _work(self.step, self.epoch)
        self.progress.say(
            self.step,
            self._size(),
            f"loss {train_loss:.3f} training, {valid_loss:.3f} validation, accuracy {100 * share:.1f} %",
        )


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
        Gets ``metrics.json`` (`measures.Metrics`), ``history.csv`` (a row an epoch),
        ``lr_find.csv`` (a row a step of the finder), ``predictions.csv`` (a row a stage, size
        and validation image) and ``model.safetensors``; the metrics last.
    checkpoint : path
        Keeps what is finished after each phase; removed when the cell is.
    code : str
        A digest of the code; a checkpoint of other code is not gone on from.

    Raises
    ------
    EntrError
        When there is no such device, the weights do not fit, or the loss is not finite.
    """
    device = devices.choose(plan.training.device)
    trainer = Trainer(cell, plan, Clock.since_the_process_began(device))
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
    """

    def __init__(self, cell: Cell, plan: Plan, clock: Clock) -> None:
        self.cell, self.plan, self.clock = cell, plan, clock
        self.progress = Progress(cell, plan, clock)
        self.history: list[dict[str, Any]] = []
        self.rates: list[dict[str, Any]] = []
        self.predictions: list[pd.DataFrame] = []
        self.evaluations: list[Evaluation] = []
        self.seconds_until: dict[str, float] = {}
        self.image_passes: dict[str, dict[int, int]] = {}
        self.passes: Counter[int] = Counter()
        self.finished, self.resumed = 0, 0
        self.peak_memory = 0

    def open(self, pixels: Pixels, weights: str | Path | None) -> None:
        """Build the network and the learner."""
        with self.clock.on("loading"):
            self.pixels = pixels
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
                splitter=networks.layer_groups(self.cell.model),
                metrics=accuracy,
                train_bn=False,
                default_cbs=False,
                # a frozen body's BatchNorm uses its stored statistics, as in fastai 0.7
                cbs=[TrainEvalCallback(), Recorder(), CastToTensor(), BnFreeze(), *self._numerics()],
            )

    def _numerics(self) -> list[Callback]:
        """Return fastai's callbacks for the precision and for batches in parts."""
        settings = self.plan.training
        devices.set_kernels(tf32=settings.tf32, deterministic=settings.deterministic)
        self.precision = devices.precision(settings.precision, self.clock.device)
        mixed = [MixedPrecision(AMPMode.BF16)] if self.precision == "bf16" else []
        batch = min(settings.batch_size, len(self.training_rows))
        return mixed + ([GradientAccumulation(batch)] if settings.accumulation > 1 else [])

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
                    "rates": self.rates,
                    "evaluations": [one.model_dump(mode="json") for one in self.evaluations],
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
        self.history, self.rates, self.seconds_until = kept["history"], kept["rates"], kept["seconds_until"]
        self.evaluations = [Evaluation.model_validate(one) for one in kept["evaluations"]]
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
        with self._within_memory(f"phase {step.phase}", step.size):
            with self.clock.on("resize"):
                images = {size: self._resized(size, step.enlarge_to) for size in step.reduced_to()}
            self.learner.unfreeze() if step.layers == "all" else self.learner.freeze()
            with self.clock.on("rate_finder"):
                for one in images.values():
                    self._record_rates(step, one)
            self._draw_from(step.phase)
            loaders = self._loaders_of(step, images)
            schedule = ParamScheduler({"lr": cosine_restarts(step.learning_rates, step.lengths)})
            history = History(step, self.history, self.progress)
            with self.learner.no_logging():
                self.learner.fit(
                    step.epochs, cbs=[SizeByEpoch(loaders), EpochClock(self.clock), schedule, history], reset_opt=True
                )
        self._check_loss()
        self._count(step, loaders)

    def _loaders_of(self, step: Step, images: Mapping[int, Resized]) -> list[DataLoaders]:
        """Return the batches of each epoch of a phase."""
        if step.drawn:
            return [self._loaders(*images.values())] * step.epochs
        by_size = {size: self._loaders(one) for size, one in images.items()}
        return [by_size[size] for size in step.sizes]

    def _count(self, step: Step, loaders: Sequence[DataLoaders]) -> None:
        """Count the images that went through a phase, by the size that the network was shown."""
        if step.drawn:
            self.passes.update(loaders[0].train.dataset.seen)
            return
        for epoch, one in enumerate(loaders):
            self.passes[step.shown_in(epoch)] += len(one.train) // one.train.parts * one.train.bs

    @contextmanager
    def _within_memory(self, what: str, size: int) -> Iterator[None]:
        """Turn a device that is too small into one clear error; a smaller batch would be another experiment."""
        try:
            yield
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

    def _record_rates(self, step: Step, images: Resized) -> None:
        """Run fastai's finder, which restores the network; it chooses nothing."""
        finder = self.plan.training.rate_finder
        self._draw_from(f"{step.phase} finder")
        self.learner.dls = self._loaders(images)
        with tempfile.TemporaryDirectory() as folder:
            self.learner.path = Path(folder)
            self.learner.lr_find(finder.start, finder.end, finder.steps, show_plot=False, suggest_funcs=None)
        recorder = self.learner.recorder
        self.rates += [
            {"phase": step.phase, "size": images.size, "step": number, "learning_rate": rate, "loss": float(loss)}
            for number, (rate, loss) in enumerate(zip(recorder.lrs, recorder.losses, strict=True))
        ]

    def measure(self, stage: str, size: int) -> None:
        """Measure a stage at the size of its phase and at the full size."""
        self.seconds_until[stage] = self.clock.training
        self.image_passes[stage] = dict(self.passes)
        full = self.plan.training.full_size
        with self._within_memory(f"stage {stage}", max(size, full)), self.clock.on("evaluation"):
            found = {side: self._predict(self._resized(side), with_tta=stage == "total-tta") for side in {size, full}}
            of_phase = self._keep(stage, "phase", size, found[size])
            self._keep(stage, "full", full, found[full])
        log.info("%s: %s accuracy %.1f %% at %d px", self.cell, stage, 100 * of_phase.accuracy, size)

    def _predict(self, images: Resized, *, with_tta: bool) -> NDArray[np.float32]:
        """Return class probabilities of the validation images, the equal mean over all views."""
        self._draw_from("views")
        settings = self.plan.training
        views = []
        for augmented in [False] + [True] * (settings.tta_views if with_tta else 0):
            cuts = Cuts(images, self.validation_rows, augmented=augmented)
            batches = loader(cuts, self._images_at_once(), settings.augmentation, statistics=self.statistics)
            views.append(self.learner.get_preds(dl=batches)[0])
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

    def _resized(self, size: int, enlarge_to: int | None = None) -> Resized:
        return resized(self.pixels, size, self.plan.training.fit, self.clock.device, enlarge_to)

    def _loaders(self, *images: Resized) -> DataLoaders:
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
            seconds_until=self.seconds_until,
            image_passes=self.image_passes,
            seconds=self.clock.summary(),
            peak_memory_mb=self._peak_memory() / 1e6 if device.type == "cuda" else None,
            resumed=self.resumed,
            environment=devices.describe(device),
        )


class cosine_restarts:  # noqa: N801  a schedule, called like fastai's own
    """Learning rates that fall along a cosine to zero in each cycle and start again.

    As fastai 0.7's ``cycle_len`` and ``cycle_mult`` (Loshchilov & Hutter 2017, arXiv
    1608.03983). fastai 2's `fit_sgdr` divides by zero for cycles of equal length.

    Parameters
    ----------
    rates : tuple of float
        Rate of each layer group at the start of a cycle.
    lengths : tuple of int
        Epochs in each cycle.
    """

    def __init__(self, rates: tuple[float, ...], lengths: tuple[int, ...]) -> None:
        self.cosine = SchedCos(np.array(rates), np.zeros(len(rates)))
        self.ends = np.cumsum(lengths)

    def __call__(self, position: float) -> NDArray[np.float64]:
        """Return the rates at a share of the phase, in [0, 1]."""
        epoch = position * self.ends[-1]
        cycle = min(int(np.searchsorted(self.ends, epoch, side="right")), len(self.ends) - 1)
        begin = self.ends[cycle - 1] if cycle else 0
        return self.cosine((epoch - begin) / (self.ends[cycle] - begin))
