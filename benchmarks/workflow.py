"""Overhead of the workflow on the grid of the paper, with 1, 10 and 100 seeds.

    PYTHONPATH=workflow/scripts .venv/bin/python benchmarks/workflow.py [--seeds 1 10 100]

Nothing is trained: the files of the cells contain random numbers, in the format and length of real ones. `plan` is a
dry run before anything is computed. `plan one cell` is what each job of a cluster does before its work. `touch finished
cells` marks cells that were computed elsewhere as finished, and `plan, cells finished` is a dry run after that. The
tables are computed by the library functions that the rules call. Each measurement is a new process, including imports.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from entr.analysis.aggregation import write_metrics
from entr.analysis.histories import write_histories
from entr.analysis.paired_effects import write_effects
from entr.config.regimes import Regime
from entr.config.study_design import StudyDesign
from entr.config.training import Training
from entr.config.training_plan import Plan
from entr.jobs.files import sha256
from entr.jobs.paths import CELL, REPOSITORY
from entr.jobs.tables import write_table
from entr.metrics.cell_metrics import (
    Environment,
    Evaluation,
    LayerGroup,
    Metrics,
    Quality,
    Seconds,
    TrainingDiagnostics,
)
from entr.report.verdict import write_verdict


class DatasetSize(NamedTuple):
    """Numbers of images and classes, as published."""

    images: int
    classes: int


DATASETS = {"steel": DatasetSize(1460, 7), "ucm": DatasetSize(2100, 21), "bees": DatasetSize(3128, 22)}
UNPUBLISHED = ("steel", "bees")
"""Datasets that the configuration reads from image folders, because they were never published."""
MODELS = ("resnet18", "resnet34", "resnet50")
CONTROL = "no-increase"
REGIMES = {
    CONTROL: (250, 250, 250, 250),
    "gradual": (100, 150, 200, 250),
    "stepwise": (100, 100, 250, 250),
}
"""Image side in px in each phase."""
EPOCHS = {"sgdr": 2, "clrs": 3, "cmult": 7, "rpl": 7}
"""Epochs of each phase."""
EPOCHS_BEFORE_FINE_TUNING = 12
STAGES = ("sub-total", "total", "total-tta")
FULL_SIZE = 250
SIZES = (100, 150, 200, 250)
EVALUATION_SIZES = (75, 100, 150, 200, 250, 300, 350)
BATCH_SIZE = 64
INFERENCE_BATCH_SIZES = (1, 8, 32, 64)
LR_FINDER_STEPS = 100
FOLDS = 10
TABLES = Path("results", "tables")
CELL_FILES = ("metrics.json", "history.csv", "steps.csv", "lr_find.csv", "predictions.csv", "model.safetensors")


class GridCell(NamedTuple):
    """A cell of the grid."""

    dataset: str
    model: str
    regime: str
    seed: int

    def file(self, name: str) -> Path:
        """Return the path of a file of this cell."""
        return Path(CELL.format(**self._asdict()), name)


def grid_cells(n_seeds: int) -> list[GridCell]:
    """Return all cells of the grid."""
    return [GridCell(*cell) for cell in itertools.product(DATASETS, MODELS, REGIMES, range(n_seeds))]


@dataclass(frozen=True)
class Cost:
    """Cost of a function in a new process."""

    seconds: float
    peak_memory: int
    """In bytes."""


def measure(function: Callable[..., None], *arguments: object) -> Cost:
    """Call a function in a new process, and return the seconds and the peak memory of the process and its children."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    begin = time.perf_counter()
    process = context.Process(target=_call_and_send_peak_memory, args=(sender, function, *arguments))
    process.start()
    process.join()
    seconds = time.perf_counter() - begin
    if process.exitcode:
        raise SystemExit(f"{function.__name__} failed")
    return Cost(seconds, receiver.recv())


def _call_and_send_peak_memory(sender: Connection, function: Callable[..., None], *arguments: object) -> None:
    function(*arguments)
    kilobytes = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    sender.send(max(kilobytes) * 1024)


def write_configuration(folder: Path, n_seeds: int) -> None:
    """Write the configuration, and image folders with empty files for the unpublished datasets."""
    for dataset in UNPUBLISHED:
        n_images, n_classes = DATASETS[dataset]
        for number in range(n_images):
            path = folder / dataset / f"class {number % n_classes}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    paths = {dataset: {"path": str(folder / dataset)} for dataset in UNPUBLISHED}
    configuration = {"grid": {"seeds": list(range(n_seeds))}, "datasets": paths}
    (folder / "grid.json").write_text(json.dumps(configuration), encoding="utf-8")


def write_cells(folder: Path, n_seeds: int) -> None:
    """Write the files of all cells."""
    rng = np.random.default_rng(0)
    for cell in grid_cells(n_seeds):
        metrics = simulate_metrics(cell, rng)
        for name, table in simulate_tables(cell, metrics, rng).items():
            write_table(table, folder / cell.file(f"{name}.csv"))
        (folder / cell.file("model.safetensors")).touch()
        path = folder / cell.file("metrics.json")
        checksums = {file.name: sha256(file) for file in path.parent.iterdir()}
        path.write_text(metrics.model_copy(update={"checksums": checksums}).to_json(), encoding="utf-8")


def simulate_metrics(cell: GridCell, rng: np.random.Generator) -> Metrics:
    """Return metrics of a random accuracy, with times in proportion to the image sizes."""
    n_images, n_classes = DATASETS[cell.dataset]
    n_validation = n_images // FOLDS
    sizes = np.repeat(REGIMES[cell.regime], list(EPOCHS.values()))
    n_correct = round(rng.uniform(0.8, 0.95) * n_validation)
    accuracy = n_correct / n_validation
    quality = Quality(
        correct=n_correct,
        count=n_validation,
        accuracy=accuracy,
        macro_f1=accuracy,
        negative_log_likelihood=rng.uniform(0.2, 0.4),
        calibration_error=0.05,
    )
    group = LayerGroup(distance=0.5, norm=20)
    images_per_epoch = (n_images - n_validation) // BATCH_SIZE * BATCH_SIZE
    passes = {size: images_per_epoch * int((sizes == size).sum()) for size in set(sizes.tolist())}
    seconds = (100 * sizes.cumsum() / 3000).tolist()
    regime = Regime(**dict(zip(EPOCHS, REGIMES[cell.regime], strict=True)), tta=FULL_SIZE)
    return Metrics(
        **cell._asdict(),
        weights="imagenet",
        precision="float32",
        plan=Plan.of(Training(), regime, pretrained=True),
        epochs=len(sizes),
        classes=n_classes,
        training_images=n_images - n_validation,
        validation_images=n_validation,
        evaluations=tuple(
            Evaluation(stage=stage, resolution=resolution, size=FULL_SIZE, quality=quality)
            for stage in STAGES
            for resolution in ("phase", "full")
        ),
        diagnostics=tuple(
            TrainingDiagnostics(stage=stage, size=FULL_SIZE, training=quality, early=group, late=group, head=group)
            for stage in STAGES[:2]
        ),
        other_sizes=dict.fromkeys(EVALUATION_SIZES, quality),
        seconds_until={
            "sub-total": seconds[EPOCHS_BEFORE_FINE_TUNING - 1],
            "total": seconds[-1],
            "total-tta": seconds[-1],
        },
        image_passes=dict.fromkeys(STAGES, passes),
        seconds=Seconds(**dict.fromkeys(Seconds.model_fields, 1.0)),
        seconds_to_first_step=6,
        resumed=0,
        peak_memory_mb=None,
        environment=Environment(
            device="simulated",
            device_type="cpu",
            threads=1,
            driver="",
            python="3",
            torch="2",
            torchvision="0",
            fastai="2",
        ),
        checksums={},
    )


def simulate_tables(cell: GridCell, metrics: Metrics, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Return the tables of a cell, by name, with random losses, accuracies and predictions."""
    n_epochs, n_validation = metrics.epochs, metrics.validation_images
    steps_per_epoch = metrics.training_images // BATCH_SIZE
    n_steps = n_epochs * steps_per_epoch
    phases = np.repeat(list(EPOCHS), list(EPOCHS.values()))
    sizes = np.repeat(REGIMES[cell.regime], list(EPOCHS.values()))
    epochs = range(1, n_epochs + 1)
    seconds = rng.uniform(5, 6, n_epochs)
    history = {
        "epoch": epochs,
        "phase": phases,
        "size": sizes,
        "layers": "head",
        "learning_rate": 0.01,
        "training_loss": rng.random(n_epochs),
        "validation_loss": rng.random(n_epochs),
        "accuracy": rng.random(n_epochs),
        "training_seconds": seconds,
        "validation_seconds": seconds / 20,
        "images_per_second": steps_per_epoch * BATCH_SIZE / seconds,
    }
    steps = {
        "step": range(1, n_steps + 1),
        "phase": np.repeat(phases, steps_per_epoch),
        "epoch": np.repeat(epochs, steps_per_epoch),
        "size": np.repeat(sizes, steps_per_epoch),
        "rate_early": 0.001,
        "rate_late": 0.003,
        "learning_rate": 0.01,
        "momentum": 0.9,
        "loss": rng.random(n_steps),
    }
    n_phases = len(EPOCHS)
    lr_find = {
        "phase": np.repeat(list(EPOCHS), LR_FINDER_STEPS),
        "size": np.repeat(REGIMES[cell.regime], LR_FINDER_STEPS),
        "step": np.tile(range(LR_FINDER_STEPS), n_phases),
        "learning_rate": np.tile(np.geomspace(1e-5, 10, LR_FINDER_STEPS), n_phases),
        "loss": rng.random(n_phases * LR_FINDER_STEPS),
    }
    predictions = [
        {
            "stage": stage,
            "resolution": resolution,
            "size": FULL_SIZE,
            "image": f"class {number % metrics.classes}/{number:06}.png",
            "label": f"class {number % metrics.classes}",
            "predicted": f"class {rng.integers(metrics.classes)}",
            "probability_of_label": 0.9,
            "probability_of_predicted": 0.91234567,
        }
        for stage in STAGES
        for resolution in ("phase", "full")
        for number in range(n_validation)
    ]
    tables = {"history": history, "steps": steps, "lr_find": lr_find, "predictions": predictions}
    return {name: pd.DataFrame(data) for name, data in tables.items()}


def inference_tables() -> dict[Path, pd.DataFrame]:
    """Return the tables of the inference benchmark, by path."""
    folder = Path("results", "inference")
    cases = pd.DataFrame(itertools.product(SIZES, INFERENCE_BATCH_SIZES), columns=["size", "batch_size"])
    return {folder / f"{model}.csv": cases.assign(model=model, seconds_per_image=0.001) for model in MODELS}


def trained_inference_tables() -> dict[Path, pd.DataFrame]:
    """Return the tables of the inference benchmark of trained models, by path."""
    folder = Path("results", "inference", "trained")
    return {
        folder / dataset / f"{model}.csv": pd.DataFrame(
            {"dataset": dataset, "model": model, "regime": list(REGIMES), "p50_seconds": 0.01}
        )
        for dataset in DATASETS
        for model in MODELS
    }


def run_snakemake(folder: Path, *arguments: str | Path) -> None:
    """Run Snakemake with the configuration of the paper and that of a folder."""
    command = [
        *(Path(sys.executable).with_name("snakemake"), *arguments),
        *("--snakefile", REPOSITORY / "Snakefile", "--directory", folder, "--cores", "1"),
        *("--configfile", REPOSITORY / "config" / "paper.yaml", folder / "grid.json"),
    ]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)  # noqa: S603  no user input


def plan(folder: Path, *arguments: str | Path) -> None:
    """Make a dry run."""
    run_snakemake(folder, *arguments, "--dry-run", "--quiet", "rules")


def aggregate_metrics(folder: Path, n_seeds: int) -> None:
    """Aggregate the metrics of all cells, as the rule of the same name."""
    os.chdir(folder)
    write_metrics(
        [cell.file("metrics.json") for cell in grid_cells(n_seeds)],
        inference_tables(),
        trained_inference_tables(),
        control=CONTROL,
        outputs=_tables("metrics", "summary", "cells"),
    )


def aggregate_histories(folder: Path, n_seeds: int) -> None:
    """Aggregate the histories of all cells, as the rule of the same name."""
    os.chdir(folder)
    all_cells, first_seed = grid_cells(n_seeds), grid_cells(1)
    write_histories(
        history=[cell.file("history.csv") for cell in all_cells],
        steps=[cell.file("steps.csv") for cell in first_seed],
        lr_find=[cell.file("lr_find.csv") for cell in first_seed],
        predictions=[cell.file("predictions.csv") for cell in all_cells],
        outputs=_tables("history", "steps", "lr_find", "confusions"),
    )


def estimate_effects(folder: Path) -> None:
    """Estimate the effects of the regimes, as the rule of the same name."""
    os.chdir(folder)
    write_effects(TABLES / "metrics.csv", CONTROL, FOLDS, **_tables("pairs", "effects"))


def evaluate_claims(folder: Path, n_seeds: int) -> None:
    """Evaluate the claims of the paper, as the rule of the same name."""
    os.chdir(folder)
    design = StudyDesign(
        datasets={dataset: dataset for dataset in DATASETS},
        stand_in_for=dict.fromkeys(DATASETS),
        models=MODELS,
        regimes=tuple(REGIMES),
        seeds=tuple(range(n_seeds)),
        control=CONTROL,
        time_basis="training",
        folds=FOLDS,
    )
    outputs = _tables("claims") | {"verdict": Path("results", "verdict.md")}
    write_verdict(**_tables("metrics", "pairs", "effects", "cells"), design=design, outputs=outputs)


def _tables(*names: str) -> dict[str, Path]:
    return {name: TABLES / f"{name}.csv" for name in names}


def touch_finished_cells(folder: Path, n_seeds: int) -> None:
    """Mark all cells as finished, as after copying them from another machine."""
    results = folder / "results"
    inputs = [results / "weights" / f"{model}.safetensors" for model in MODELS]
    for dataset in DATASETS:
        names = ("pixels.npy", "manifest.csv", *(f"splits/seed{seed}.csv" for seed in range(n_seeds)))
        inputs += [results / "data" / dataset / name for name in names]
    for path in inputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    # newer than the inputs
    for cell, name in itertools.product(grid_cells(n_seeds), CELL_FILES):
        os.utime(folder / cell.file(name))
    targets = [cell.file("metrics.json") for cell in grid_cells(n_seeds)]
    run_snakemake(folder, *targets, "--touch", "--allowed-rules", "train")


def benchmark(folder: Path, n_seeds: int) -> None:
    """Measure the grid with one number of seeds, and print a row per measurement."""
    write_configuration(folder, n_seeds)
    all_cells = [cell.file("metrics.json") for cell in grid_cells(n_seeds)]
    one_cell = GridCell("ucm", "resnet18", "gradual", 0).file("metrics.json")

    def report(label: str, function: Callable[..., None], *arguments: object) -> None:
        cost = measure(function, folder, *arguments)
        milliseconds = 1000 * cost.seconds / len(all_cells)
        numbers = f"{cost.seconds:.1f} | {milliseconds:.1f} | {cost.peak_memory / 1e6:.0f}"
        print(f"| {len(all_cells)} | {label} | {numbers} |", flush=True)

    report("plan", plan)
    report("plan one cell", plan, one_cell)
    write_cells(folder, n_seeds)
    for path, table in {**inference_tables(), **trained_inference_tables()}.items():
        write_table(table, folder / path)
    report("`aggregate_metrics`", aggregate_metrics, n_seeds)
    report("`aggregate_histories`", aggregate_histories, n_seeds)
    report("`estimate_effects`", estimate_effects)
    report("`evaluate_claims`", evaluate_claims, n_seeds)
    report("touch finished cells", touch_finished_cells, n_seeds)
    report("plan, cells finished", plan, *all_cells, "--allowed-rules", "train")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each number of seeds, and print a table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 10, 100], help="numbers of seeds")
    options = parser.parse_args(arguments)
    print("| cells | task | s | ms per cell | peak memory, MB |\n| --- | --- | --- | --- | --- |")
    for n_seeds in options.seeds:
        with tempfile.TemporaryDirectory() as name:
            benchmark(Path(name), n_seeds)


if __name__ == "__main__":
    main()
