"""Training steps against stock fastai, torchvision's way and their floor, in turns within one run.

    PYTHONPATH=workflow/scripts .venv/bin/python benchmarks/training.py FOLDER

The folder has one sub-folder a class; a part of its images is used. For each network, size, precision and
choice of layers the same number of steps is timed in turn

- `floor`: forward, backward and optimizer on random tensors that already lie on the device;
- `entr`: an epoch as a cell runs it, by its own loader, views and learner;
- `fastai`: an epoch of stock fastai as in its tutorial, files decoded and augmented one by one, with
  the number of worker processes that is fastest here;
- `torchvision`: a plain loop over `ImageFolder` with `transforms.v2`, as its reference scripts do, with the
  same choice of workers.

`--compile` compiles the network for all but fastai. Printed, and written as CSV and as a figure: images a
second, and ours relative to the others, medians over rounds.
"""

import argparse
import itertools
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import torch
import torchvision
from fastai.callback.core import Callback, CancelValidException
from fastai.data.transforms import get_image_files, parent_label
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
from entr.config.training import Phase, Training
from entr.config.training_plan import Plan
from entr.data import downscale, split
from entr.data.image_folder import labelled_files
from entr.data.pack import pack_images
from entr.devices import torch_device
from entr.figures import charts
from entr.metrics.schema import Cell
from entr.training.clock import Clock
from entr.training.resize import PackedImages
from entr.training.trainer import Trainer

WORKERS = (0, 2)


class OnlyTraining(Callback):
    """Time the training part of an epoch and leave out validation."""

    def before_train(self) -> None:  # noqa: D102
        torch_device.synchronize(self.dls.device)
        self.begin = time.perf_counter()

    def after_train(self) -> None:  # noqa: D102
        torch_device.synchronize(self.dls.device)
        self.learn.seconds = time.perf_counter() - self.begin

    def before_validate(self) -> None:  # noqa: D102
        raise CancelValidException


@contextmanager
def dataset(folder: Path, count: int) -> Iterator[Path]:
    """Prepare some images as the workflow does, in a folder that goes away."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        by_class: dict[str, list[Path]] = {}
        for label, path in labelled_files(folder):
            by_class.setdefault(label, []).append(path)
        for label, paths in by_class.items():
            (place / "originals" / label).mkdir(parents=True)
            for path in paths[: -(-count // len(by_class))]:
                shutil.copy(path, place / "originals" / label)
        outputs = {name: place / name for name in ("images", "manifest", "rejected", "duplicates")}
        downscale.downscale_dataset(place / "originals", Images(max_hash_distance=0).model_dump(), 2, **outputs)
        pack_images(outputs["images"], outputs["manifest"], place / "pixels.npy")
        split.split_dataset(outputs["manifest"], place / "split", seed=0, folds=2)
        yield place


def trainer_of(model: str, place: Path, plan: Plan, device: torch.device) -> Trainer:
    """Return a cell that is ready to train."""
    cell = Cell(dataset="benchmark", model=model, regime="benchmark", seed=0, weights="none")
    made = Trainer(cell, plan, Clock(device))
    made.open(PackedImages.open(place / "pixels.npy", place / "manifest", place / "split"), None)
    return made


def entr(made: Trainer, size: int, layers: str) -> Callable[[], float]:
    """Return what runs an epoch as a cell does and tells its seconds an image."""
    made.learner.dls = made.loaders(made.at_size(made.pixels, size))

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
    count = len(made.learner.dls.train)

    def epoch() -> float:
        made.learner.unfreeze() if layers == "all" else made.learner.freeze()
        return timed_steps(network, itertools.repeat((batch, target), count), layers, device, made.precision)

    return epoch


def timed_steps(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], layers: str, device: torch.device, precision: str
) -> float:
    """Return seconds an image of a plain loop over batches."""
    network.train()
    if layers == "head":
        network[0].eval()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, 1e-3, momentum=0.9, fused=device.type == "cuda")
    loss, images = nn.CrossEntropyLoss(), 0
    torch_device.synchronize(device)
    begin = time.perf_counter()
    for batch, target in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            found = loss(network(batch), target)
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
        images += len(batch)
    torch_device.synchronize(device)
    return (time.perf_counter() - begin) / images


def plain(made: Trainer, place: Path, size: int, layers: str, batch_size: int) -> Callable[[], float]:
    """Return what runs as many steps over files, decoded and augmented as torchvision's references do."""
    network, device = made.learner.model, made.clock.device
    changes = v2.Compose(
        [
            v2.PILToTensor(),
            v2.RandomResizedCrop(size, scale=(0.7, 1), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomRotation(10),
            v2.ColorJitter(0.05, 0.05),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(*imagenet_stats),
        ]
    )
    files = ImageFolder(place / "originals", changes)
    half = Subset(files, range(0, len(files), 2))

    def batches(workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        loader = DataLoader(half, batch_size, shuffle=True, num_workers=workers, drop_last=True)
        for batch, target in itertools.islice(loader, len(made.learner.dls.train)):
            yield batch.to(device, memory_format=torch.channels_last), target.to(device)

    def epoch(workers: int) -> float:
        made.learner.unfreeze() if layers == "all" else made.learner.freeze()
        return timed_steps(network, batches(workers), layers, device, made.precision)

    best = min(WORKERS, key=epoch)
    return lambda: epoch(best)


def stock(model: str, place: Path, size: int, layers: str, batch_size: int, precision: str) -> Callable[[], float]:
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
        return made.to_bf16() if precision == "bf16" else made

    def epoch(made) -> float:  # noqa: ANN001
        with made.no_logging(), made.no_bar():
            made.fit(1, cbs=OnlyTraining())
        return made.seconds / (len(made.dls.train) * batch_size)

    best = min((learner(workers) for workers in WORKERS), key=epoch)
    return lambda: epoch(best)


def rates(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Time all ways in turn; return images a second, and ours relative to the others."""
    seconds = {name: [] for name in ways}
    draw = random.Random(0)
    for number in range(rounds + 1):
        # in an order of each round's own: who comes after fastai finds its workers ending, and cold caches
        for name in draw.sample(list(ways), len(ways)):
            found = ways[name]()
            if number:  # the first round warms up
                seconds[name].append(found)
    speed = {name: 1 / statistics.median(found) for name, found in seconds.items()}
    ratios = {
        f"entr_of_{other}": statistics.median(
            theirs / ours for ours, theirs in zip(seconds["entr"], seconds[other], strict=True)
        )
        for other in ways
        if other != "entr"
    }
    return speed | ratios


def figure(table: pd.DataFrame) -> alt.TopLevelMixin:
    """Draw images a second against size."""
    long = table.melt(["model", "size", "layers", "precision", "compile"], ["floor", "entr", "torchvision", "fastai"])
    return (
        alt.Chart(long)
        .mark_line(point=True)
        .encode(
            x=alt.X("size:Q", title="size in px", scale=alt.Scale(zero=False)),
            y=alt.Y("value:Q", title="images a second", scale=alt.Scale(type="log")),
            color=alt.Color("variable:N", title=None, sort=["floor", "entr", "torchvision", "fastai"]),
            column=alt.Column("model:N", title=None),
            strokeDash=alt.StrokeDash("compile:N", legend=alt.Legend() if len(set(long["compile"])) > 1 else None),
            row=alt.Row("layers:N", title="layers that train"),
        )
        .properties(width=260, height=180, title=f"Training steps on {table['device'].iloc[0]}", config=charts.STYLE)
        .resolve_scale(y="independent")
    )


def main() -> None:
    """Time all ways in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 150, 200, 250])
    parser.add_argument("--layers", nargs="+", default=["head", "all"])
    parser.add_argument("--precisions", nargs="+", default=["auto"])
    parser.add_argument("--compile", nargs="+", default=["none"], help="values of training.compile_mode")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for training.csv and training.png")
    options = parser.parse_args()
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    device = torch_device.choose_device("auto")
    rows = []
    with dataset(options.folder, 2 * options.batch_size * options.steps) as place:
        for model, precision, mode in itertools.product(options.models, options.precisions, options.compile):
            settings = Training(
                phases={"a": Phase()}, schedule=("a",), subtotal_after="a",
                batch_size=options.batch_size, precision=precision, compile_mode=mode,
            )  # fmt: skip
            made = trainer_of(model, place, Plan.of(settings, Regime(a=100, tta=100), pretrained=True), device)
            for layers, size in itertools.product(options.layers, options.sizes):
                ways = {
                    "entr": entr(made, size, layers),
                    "floor": floor(made, size, layers, options.batch_size),
                    "torchvision": plain(made, place, size, layers, options.batch_size),
                    "fastai": stock(model, place, size, layers, options.batch_size, made.precision),
                }
                case = {"model": model, "size": size, "layers": layers, "precision": made.precision, "compile": mode}
                rows.append(case | rates(ways, options.rounds))
                print(
                    pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1, float_format="%.2f"),
                    flush=True,
                )
                table = pd.DataFrame(rows).assign(
                    device=torch_device.device_name(device), threads=torch.get_num_threads()
                )
                if options.out:
                    table.to_csv(options.out / "training.csv", index=False)
    if options.out:
        figure(table).save(options.out / "training.png", ppi=charts.PIXELS_PER_INCH)


if __name__ == "__main__":
    main()
