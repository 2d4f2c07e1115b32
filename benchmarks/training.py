"""Throughput of training steps compared with stock fastai, a plain torchvision loop and the floor.

    PYTHONPATH=workflow/scripts .venv/bin/python benchmarks/training.py FOLDER

The folder has one subfolder per class; some of its images are used. For each model, precision, choice of layers and
image size, the implementations process the same number of batches, interleaved in one run:

- `floor`: forward pass, backward pass and optimizer on one random batch on the device, the upper limit;
- `entr`: an epoch of a cell, with ENTR's own loader, augmentation and learner;
- `torchvision`: a plain loop over `ImageFolder` with `transforms.v2`, as in torchvision's reference scripts;
- `fastai`: an epoch of stock fastai that reads files, as in its tutorial.

torchvision and fastai use the number of worker processes that is fastest for them. `--compile-modes` compiles the
model for all implementations but fastai. The output contains images per second, and the ratios of ENTR's throughput
to the others, as medians over rounds.
"""

import argparse
import itertools
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import torch
import torchvision
from fastai.callback.core import Callback, CancelValidException
from fastai.data.transforms import get_image_files, parent_label
from fastai.learner import Learner
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.core import imagenet_stats
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from entr.config.regimes import Regime
from entr.config.schema import Images
from entr.config.training import Layers, Phase, Training
from entr.config.training_plan import Plan
from entr.data.downscale import downscale_dataset
from entr.data.image_folder import labelled_files
from entr.data.pack import pack_images
from entr.data.split import split_dataset
from entr.devices import torch_device
from entr.figures import charts
from entr.jobs.tables import write_table
from entr.metrics.cell_metrics import Cell
from entr.training.clock import Clock
from entr.training.learner import set_trainable
from entr.training.resize import PackedImages
from entr.training.trainer import Trainer

WORKER_COUNTS = (0, 2)
"""Numbers of worker processes among which torchvision and fastai choose."""
IMPLEMENTATIONS = ("floor", "entr", "torchvision", "fastai")
Epoch = Callable[[], float]
"""An epoch that returns its seconds per image."""


class TrainingTimer(Callback):
    """Timer of the training part of an epoch, which skips validation."""

    def before_train(self) -> None:  # noqa: D102
        torch_device.synchronize(self.dls.device)
        self.begin = time.perf_counter()

    def after_train(self) -> None:  # noqa: D102
        torch_device.synchronize(self.dls.device)
        self.seconds = time.perf_counter() - self.begin

    def before_validate(self) -> None:  # noqa: D102
        raise CancelValidException


def time_epoch(learner: Learner, **options: object) -> float:
    """Train a fastai learner for one epoch, and return the seconds of its training part."""
    timer = TrainingTimer()
    with learner.no_logging(), learner.no_bar():
        learner.fit(1, cbs=timer, **options)
    return timer.seconds


@contextmanager
def prepared_dataset(folder: Path, n_images: int) -> Iterator[Path]:
    """Prepare some images of each class as the workflow does, in a temporary directory."""
    by_class: dict[str, list[Path]] = {}
    for label, path in labelled_files(folder):
        by_class.setdefault(label, []).append(path)
    images_per_class = -(-n_images // len(by_class))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        originals = directory / "originals"
        for label, paths in by_class.items():
            (originals / label).mkdir(parents=True)
            for path in paths[:images_per_class]:
                shutil.copy(path, originals / label)
        outputs = {output: directory / output for output in ("images", "manifest", "rejected", "duplicates")}
        downscale_dataset(originals, Images(max_hash_distance=0).model_dump(), 2, **outputs)
        pack_images(outputs["images"], outputs["manifest"], directory / "pixels")
        split_dataset(outputs["manifest"], directory / "split", seed=0, folds=2)
        yield directory


@dataclass(frozen=True)
class Case:
    """What all implementations train: a model, on half of the images of a prepared dataset."""

    trainer: Trainer
    """A cell that is ready to train; its model is also that of `floor` and `torchvision`."""
    originals: Path
    """Image folder with one subfolder per class."""
    size: int
    """Side of the images in px."""
    layers: Layers

    @property
    def batch_size(self) -> int:
        """Images per training step."""
        return self.trainer.settings.batch_size

    @property
    def device(self) -> torch.device:
        """Where the model trains."""
        return self.trainer.device

    def epochs(self) -> dict[str, Epoch]:
        """Return an epoch of each implementation."""
        loaders = self.trainer.loaders_at(self.size)
        steps = len(loaders.train)

        def entr() -> float:
            learner = self.trainer.learner
            learner.dls = loaders
            set_trainable(learner, self.layers)
            return time_epoch(learner, reset_opt=True) / (steps * loaders.train.bs)

        return {
            "entr": entr,
            "floor": self._floor(steps),
            "torchvision": self._torchvision(steps),
            "fastai": self._fastai(),
        }

    def _floor(self, steps: int) -> Epoch:
        shape = (self.batch_size, 3, self.size, self.size)
        images = torch.randn(shape, device=self.device).to(memory_format=torch.channels_last)
        classes = torch.randint(2, (self.batch_size,), device=self.device)
        return lambda: self._time_plain_steps(itertools.repeat((images, classes), steps))

    def _torchvision(self, steps: int) -> Epoch:
        """Return an epoch over files that are decoded and augmented as in torchvision's reference scripts."""
        augmentation = v2.Compose(
            [
                v2.PILToTensor(),
                v2.RandomResizedCrop(self.size, scale=(0.7, 1), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomRotation(10),
                v2.ColorJitter(0.05, 0.05),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(*imagenet_stats),
            ]
        )
        dataset = ImageFolder(self.originals, augmentation)
        training_images = Subset(dataset, range(0, len(dataset), 2))

        def batches(workers: int) -> Iterator[tuple[Tensor, Tensor]]:
            loader = DataLoader(training_images, self.batch_size, shuffle=True, num_workers=workers, drop_last=True)
            for images, classes in itertools.islice(loader, steps):
                yield images.to(self.device, memory_format=torch.channels_last), classes.to(self.device)

        def epoch(workers: int) -> float:
            return self._time_plain_steps(batches(workers))

        fastest = min(WORKER_COUNTS, key=epoch)
        return lambda: epoch(fastest)

    def _fastai(self) -> Epoch:
        paths = sorted(get_image_files(self.originals))
        training_fraction = (np.arange(len(paths)) % 2 == 0).mean()
        architecture = getattr(torchvision.models, self.trainer.cell.model)

        def make_learner(workers: int) -> Learner:
            loaders = ImageDataLoaders.from_path_func(
                self.originals,
                paths,
                parent_label,
                valid_pct=training_fraction,
                seed=0,
                bs=self.batch_size,
                item_tfms=Resize(self.size),
                batch_tfms=aug_transforms(size=self.size),
                num_workers=workers,
            )
            learner = vision_learner(loaders, architecture, pretrained=False)
            set_trainable(learner, self.layers)
            return learner.to_bf16() if self.trainer.precision == "bf16" else learner

        def epoch(learner: Learner) -> float:
            return time_epoch(learner) / (len(learner.dls.train) * self.batch_size)

        fastest = min(map(make_learner, WORKER_COUNTS), key=epoch)
        return lambda: epoch(fastest)

    def _time_plain_steps(self, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Train the model in a plain loop over batches, and return the seconds per image."""
        model, device = self.trainer.model, self.device
        set_trainable(self.trainer.learner, self.layers)
        model.train()
        if self.layers == "head":
            model[0].eval()
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(trainable, 1e-3, momentum=0.9, fused=device.type == "cuda")
        criterion, n_images = nn.CrossEntropyLoss(), 0
        torch_device.synchronize(device)
        begin = time.perf_counter()
        for images, classes in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=self.trainer.precision == "bf16"):
                loss = criterion(model(images), classes)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            n_images += len(images)
        torch_device.synchronize(device)
        return (time.perf_counter() - begin) / n_images


def throughput(epochs: Mapping[str, Epoch], rounds: int) -> dict[str, float]:
    """Time epochs interleaved, after one round of warm-up.

    Parameters
    ----------
    epochs : mapping of str to callable
        One epoch per implementation.
    rounds : int
        Repetitions of each epoch.

    Returns
    -------
    dict of str to float
        Images per second of each implementation, and ``entr_to_floor`` etc., ratios of throughput; medians over
        rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    generator = random.Random(0)
    for number in range(rounds + 1):
        # a new order in each round: fastai leaves ending workers and cold caches to the implementation after it
        for name in generator.sample(list(epochs), len(epochs)):
            measured = epochs[name]()
            if number > 0:
                seconds[name].append(measured)
    images_per_second = {name: 1 / statistics.median(values) for name, values in seconds.items()}
    ratios = {
        f"entr_to_{other}": statistics.median(
            reference / entr for entr, reference in zip(seconds["entr"], seconds[other], strict=True)
        )
        for other in epochs
        if other != "entr"
    }
    return images_per_second | ratios


def plot(table: pd.DataFrame) -> alt.TopLevelMixin:
    """Plot images per second against image size."""
    long = table.melt(["model", "size", "layers", "precision", "compile_mode"], IMPLEMENTATIONS)
    legend = alt.Legend() if len(set(long["compile_mode"])) > 1 else None
    return (
        alt.Chart(long)
        .mark_line(point=True)
        .encode(
            x=alt.X("size:Q", title="image size (px)", scale=alt.Scale(zero=False)),
            y=alt.Y("value:Q", title="images per second", scale=alt.Scale(type="log")),
            color=alt.Color("variable:N", title=None, sort=IMPLEMENTATIONS),
            column=alt.Column("model:N", title=None),
            strokeDash=alt.StrokeDash("compile_mode:N", legend=legend),
            row=alt.Row("layers:N", title="trained layers"),
        )
        .properties(width=260, height=180, title=f"Training steps on {table['device'].iloc[0]}", config=charts.STYLE)
        .resolve_scale(y="independent")
    )


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path, help="image folder with one subfolder per class")
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"], help="models of torchvision")
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 150, 200, 250], help="image sides in px")
    parser.add_argument("--layers", nargs="+", default=["head", "all"], choices=["head", "all"])
    parser.add_argument("--precisions", nargs="+", default=["auto"], help="values of training.precision")
    parser.add_argument("--compile-modes", nargs="+", default=["none"], help="values of training.compile_mode")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4, help="training steps per epoch")
    parser.add_argument("--rounds", type=int, default=3, help="epochs of each implementation")
    parser.add_argument("--out", type=Path, help="directory for training.csv and training.png")
    return parser.parse_args(arguments)


def main() -> None:
    """Time all implementations interleaved, print a table, and write it if asked."""
    options = parse_options()
    device = torch_device.choose_device("auto")
    machine = {"device": torch_device.device_name(device), "threads": torch.get_num_threads()}
    rows: list[dict[str, object]] = []
    with prepared_dataset(options.folder, 2 * options.batch_size * options.steps) as directory:
        packed = PackedImages.open(*(directory / name for name in ("pixels", "manifest", "split")))
        for model, precision, mode in itertools.product(options.models, options.precisions, options.compile_modes):
            training = Training(
                phases={"only": Phase()},
                schedule=("only",),
                subtotal_after="only",
                batch_size=options.batch_size,
                precision=precision,
                compile_mode=mode,
            )
            # pretrained, because randomly initialised backbones are never frozen
            plan = Plan.of(training, Regime(only=100, tta=100), pretrained=True)
            cell = Cell(dataset="benchmark", model=model, regime="benchmark", seed=0, weights="none")
            trainer = Trainer(cell, plan, packed, None, Clock(device))
            for layers, size in itertools.product(options.layers, options.sizes):
                case = Case(trainer, directory / "originals", size, layers)
                key = {
                    "model": model,
                    "size": size,
                    "layers": layers,
                    "precision": trainer.precision,
                    "compile_mode": mode,
                }
                rows.append(key | throughput(case.epochs(), options.rounds) | machine)
                newest = pd.DataFrame(rows[-1:])
                print(newest.to_string(index=False, header=len(rows) == 1, float_format="%.2f"), flush=True)
                if options.out:
                    options.out.mkdir(parents=True, exist_ok=True)
                    write_table(pd.DataFrame(rows), options.out / "training.csv")
    if options.out:
        plot(pd.DataFrame(rows)).save(options.out / "training.png", ppi=charts.PIXELS_PER_INCH)


if __name__ == "__main__":
    main()
