"""Training steps against stock fastai and against their floor, in turns within one run.

    PYTHONPATH=workflow/scripts .venv/bin/python benchmarks/training.py FOLDER

The folder has one sub-folder a class; a part of its images is used. For each network, size and choice
of layers the same number of steps is timed in turn

- `floor`: forward, backward and optimizer on random tensors that already lie on the device;
- `entr`: an epoch as a cell runs it, by its own loader, transforms and learner;
- `fastai`: an epoch of stock fastai as in its tutorial, files decoded and augmented one by one, with
  the number of worker processes that is fastest here.

Printed and written as CSV: images a second, and ours relative to the others, medians over rounds.
"""

import argparse
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torchvision
from fastai.callback.core import Callback, CancelValidException
from fastai.data.transforms import get_image_files, parent_label
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner
from torch import nn

from entr import devices, images, splits
from entr.callbacks import Clock
from entr.config import Images
from entr.folders import files
from entr.measures import Cell
from entr.pixels import Pixels
from entr.regimes import Phase, Plan, Regime, Training
from entr.training import Trainer

WORKERS = (0, 2)


class OnlyTraining(Callback):
    """Time the training part of an epoch and leave out validation."""

    def before_train(self) -> None:  # noqa: D102
        devices.synchronize(self.dls.device)
        self.begin = time.perf_counter()

    def after_train(self) -> None:  # noqa: D102
        devices.synchronize(self.dls.device)
        self.learn.seconds = time.perf_counter() - self.begin

    def before_validate(self) -> None:  # noqa: D102
        raise CancelValidException


@contextmanager
def dataset(folder: Path, count: int) -> Iterator[Path]:
    """Prepare some images as the workflow does, in a folder that goes away."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        by_class: dict[str, list[Path]] = {}
        for label, path in files(folder):
            by_class.setdefault(label, []).append(path)
        for label, paths in by_class.items():
            (place / "originals" / label).mkdir(parents=True)
            for path in paths[: -(-count // len(by_class))]:
                shutil.copy(path, place / "originals" / label)
        outputs = {name: place / name for name in ("images", "manifest", "rejected", "pairs")}
        images.downscale(place / "originals", Images(max_distance=0).model_dump(), 2, **outputs)
        images.pack(outputs["images"], outputs["manifest"], place / "pixels.npy")
        splits.split(outputs["manifest"], place / "split", seed=0, folds=2)
        yield place


def trainer_of(model: str, place: Path, plan: Plan, device: torch.device) -> Trainer:
    """Return a cell that is ready to train."""
    cell = Cell(dataset="benchmark", model=model, regime="benchmark", seed=0, weights="none")
    made = Trainer(cell, plan, Clock(device))
    made.open(Pixels.open(place / "pixels.npy", place / "manifest", place / "split"), None)
    return made


def entr(made: Trainer, size: int, layers: str) -> Callable[[], float]:
    """Return what runs an epoch as a cell does and tells its seconds an image."""
    made.learner.dls = made._loaders(made._resized(made.pixels, size))

    def epoch() -> float:
        made.learner.unfreeze() if layers == "all" else made.learner.freeze()
        with made.learner.no_logging(), made.learner.no_bar():
            made.learner.fit(1, cbs=OnlyTraining(), reset_opt=True)
        return made.learner.seconds / (len(made.learner.dls.train) * made.learner.dls.train.bs)

    return epoch


def floor(made: Trainer, size: int, layers: str, batch_size: int) -> Callable[[], float]:
    """Return what runs as many steps of the same network on one random batch."""
    network, device = made.learner.model, made.clock.device
    batch = torch.randn(batch_size, 3, size, size, device=device).to(memory_format=torch.channels_last)
    target = torch.randint(2, (batch_size,), device=device)
    loss = nn.CrossEntropyLoss()

    def steps() -> float:
        made.learner.unfreeze() if layers == "all" else made.learner.freeze()
        network.train()
        if layers == "head":
            network[0].eval()
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(trained, 1e-3, momentum=0.9)
        count = len(made.learner.dls.train)
        devices.synchronize(device)
        begin = time.perf_counter()
        for _ in range(count):
            loss(network(batch), target).backward()
            optimizer.step()
            optimizer.zero_grad()
        devices.synchronize(device)
        return (time.perf_counter() - begin) / (count * batch_size)

    return steps


def stock(model: str, place: Path, size: int, layers: str, batch_size: int) -> Callable[[], float]:
    """Return what runs an epoch of stock fastai over as many images, with the best number of workers."""
    paths = get_image_files(place / "originals")
    half = np.arange(len(paths)) % 2 == 0

    def learner(workers: int):  # noqa: ANN202
        loaders = ImageDataLoaders.from_path_func(
            place, sorted(paths), parent_label, valid_pct=half.mean(), seed=0, bs=batch_size,
            item_tfms=Resize(size), batch_tfms=aug_transforms(size=size), num_workers=workers,
        )  # fmt: skip
        made = vision_learner(loaders, getattr(torchvision.models, model), pretrained=False)
        made.unfreeze() if layers == "all" else made.freeze()
        return made

    def epoch(made) -> float:  # noqa: ANN001
        with made.no_logging(), made.no_bar():
            made.fit(1, cbs=OnlyTraining())
        return made.seconds / (len(made.dls.train) * batch_size)

    best = min((learner(workers) for workers in WORKERS), key=epoch)
    return lambda: epoch(best)


def main() -> None:
    """Time all ways in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 150, 200, 250])
    parser.add_argument("--layers", nargs="+", default=["head", "all"])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    device = devices.choose("auto")
    rows = []
    with dataset(options.folder, 2 * options.batch_size * options.steps) as place:
        settings = Training(phases={"a": Phase()}, schedule=("a",), sub_total_after="a", batch_size=options.batch_size)
        plan = Plan.of(settings, Regime(a=100, tta=100), pretrained=True)
        for model in options.models:
            made = trainer_of(model, place, plan, device)
            for size, layers in itertools.product(options.sizes, options.layers):
                ways = {
                    "entr": entr(made, size, layers),
                    "floor": floor(made, size, layers, options.batch_size),
                    "fastai": stock(model, place, size, layers, options.batch_size),
                }
                seconds = {name: [] for name in ways}
                for number in range(options.rounds + 1):
                    for name, work in ways.items():
                        found = work()
                        if number:  # the first round warms up
                            seconds[name].append(found)
                speed = {name: 1 / statistics.median(found) for name, found in seconds.items()}
                ratios = {
                    f"entr_of_{other}": statistics.median(
                        theirs / ours for ours, theirs in zip(seconds["entr"], seconds[other], strict=True)
                    )
                    for other in ("floor", "fastai")
                }
                rows.append({"model": model, "size": size, "layers": layers, **speed, **ratios})
                print(
                    pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1, float_format="%.2f"),
                    flush=True,
                )
    table = pd.DataFrame(rows).assign(device=devices.name(device), threads=torch.get_num_threads())
    if options.csv:
        table.to_csv(options.csv, index=False)


if __name__ == "__main__":
    main()
