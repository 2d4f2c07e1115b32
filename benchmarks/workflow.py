"""What the workflow itself costs beside the training, on the paper's grid with 1, 10 and 100 seeds.

    PYTHONPATH=workflow/scripts .venv/bin/python benchmarks/workflow.py [--seeds 1 10 100]

Nothing is trained: the cells' files have the form and the number of rows of real ones, and random numbers.
`plan` is a dry run of the whole grid before anything is made, `plan one cell` what each job of a cluster does
before its work, and `plan, cells made` a dry run that finds all cells finished. The tables are made by the
functions of the library that the rules call, each in a process of its own, whose imports count too.
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
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from entr.analysis import aggregation, histories, paired_effects
from entr.config.regimes import Regime
from entr.config.training import Training
from entr.config.training_plan import Plan
from entr.metrics.schema import Environment, Evaluation, LayerGroup, Metrics, Quality, Seconds, TrainingDiagnostics
from entr.report import verdict

ROOT = Path(__file__).parents[1]
DATASETS = {"steel": (1460, 7), "ucm": (2100, 21), "bees": (3128, 22)}
"""Images and classes as published."""
MODELS = ("resnet18", "resnet34", "resnet50")
REGIMES = {
    "no-increase": (250, 250, 250, 250),
    "gradual": (100, 150, 200, 250),
    "stepwise": (100, 100, 250, 250),
}
EPOCHS = {"sgdr": 2, "clrs": 3, "cmult": 7, "rpl": 7}
SIZES = (100, 150, 200, 250)
BATCH_SIZES = (1, 8, 32, 64)
CELL_FILES = ("metrics.json", "history.csv", "steps.csv", "lr_find.csv", "predictions.csv", "model.safetensors")


def snakemake(folder: Path, *words: str) -> None:
    """Run snakemake as a user does, on the paper's grid with the seeds of a file in the folder."""
    program = Path(sys.executable).with_name("snakemake")
    command = [program, *words, "--snakefile", ROOT / "Snakefile", "--directory", folder, "--cores", "1"]
    command += ["--configfile", ROOT / "config" / "paper.yaml", folder / "grid.json"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)  # noqa: S603  words of ours


def measured(work: Callable[..., None], *arguments: object) -> dict[str, float]:
    """Return the seconds of a piece of work in a process of its own, and the most memory in 10^6 bytes."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    begin = time.perf_counter()
    process = context.Process(target=_measured, args=(answers, work, *arguments))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{work.__name__} failed")
    return {"seconds": time.perf_counter() - begin, "memory_mb": answers.get()}


def _measured(answers: multiprocessing.Queue, work: Callable[..., None], *arguments: object) -> None:
    work(*arguments)
    used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    answers.put(max(used) * 1024 / 1e6)


def prepare(folder: Path, seeds: int) -> None:
    """Write the configuration, and folders for the two datasets that were never published."""
    for dataset in ("steel", "bees"):
        images, classes = DATASETS[dataset]
        for number in range(images):
            path = folder / dataset / f"class {number % classes}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    paths = {dataset: {"path": str(folder / dataset)} for dataset in ("steel", "bees")}
    grid = {"grid": {"seeds": list(range(seeds))}, "datasets": paths}
    (folder / "grid.json").write_text(json.dumps(grid), encoding="utf-8")


def cells(seeds: int) -> list[tuple[str, str, str, int]]:
    """Return every cell of the grid."""
    return list(itertools.product(DATASETS, MODELS, REGIMES, range(seeds)))


def folder_of(dataset: str, model: str, regime: str, seed: int) -> Path:
    """Return where a cell lies."""
    return Path("results", "cells", dataset, model, regime, f"seed{seed}")


def make(folder: Path, seeds: int) -> None:
    """Write the files of all cells and of the inference benchmark."""
    rng = np.random.default_rng(0)
    group = LayerGroup(distance=0.5, norm=20)
    environment = Environment(
        device="made up", device_type="cpu", threads=1, driver="", python="3", torch="2", torchvision="0", fastai="2"
    )
    plans = {
        regime: Plan.of(Training(), Regime(**dict(zip(EPOCHS, sizes, strict=True)), tta=250), pretrained=True)
        for regime, sizes in REGIMES.items()
    }
    for dataset, model, regime, seed in cells(seeds):
        images, classes = DATASETS[dataset]
        validation = images // 10
        steps = (images - validation) // 64
        by_epoch = [(phase, size) for (phase, count), size in zip(EPOCHS.items(), REGIMES[regime], strict=True)
                    for _ in range(count)]  # fmt: skip
        phases, sizes = zip(*by_epoch, strict=True)
        epochs = len(by_epoch)
        share = float(rng.uniform(0.8, 0.95))
        quality = Quality(
            correct=round(share * validation), count=validation, accuracy=round(share * validation) / validation,
            macro_f1=share, negative_log_likelihood=float(rng.uniform(0.2, 0.4)), calibration_error=0.05,
        )  # fmt: skip
        stages = ("sub-total", "total", "total-tta")
        until = {"sub-total": 100 * sum(sizes[:12]) / 3000, "total": 100 * sum(sizes) / 3000}
        until["total-tta"] = until["total"]
        passes = {size: steps * 64 * sizes.count(size) for size in set(sizes)}
        target = folder / folder_of(dataset, model, regime, seed)
        target.mkdir(parents=True)
        metrics = Metrics(
            dataset=dataset, model=model, regime=regime, seed=seed, weights="imagenet", precision="float32",
            plan=plans[regime], epochs=epochs, classes=classes, training_images=images - validation,
            validation_images=validation,
            evaluations=[Evaluation(stage=stage, resolution=resolution, size=250, quality=quality)
                         for stage in stages for resolution in ("phase", "full")],
            diagnostics=[TrainingDiagnostics(stage=stage, size=250, training=quality, early=group, late=group, head=group)
                       for stage in stages[:2]],
            other_sizes=dict.fromkeys((75, 100, 150, 200, 250, 300, 350), quality),
            seconds_until=until, image_passes=dict.fromkeys(stages, passes),
            seconds=Seconds(**dict.fromkeys(Seconds.model_fields, 1.0)), seconds_to_first_step=6, resumed=0,
            peak_memory_mb=None, environment=environment,
        )  # fmt: skip
        (target / "metrics.json").write_text(metrics.model_dump_json(indent=2), encoding="utf-8")
        (target / "model.safetensors").touch()
        seconds = rng.uniform(5, 6, epochs)
        recorded = {
            "history": pd.DataFrame({
                "epoch": range(1, epochs + 1), "phase": phases, "size": sizes, "layers": "head", "learning_rate": 0.01,
                "training_loss": rng.random(epochs), "validation_loss": rng.random(epochs),
                "accuracy": rng.random(epochs), "training_seconds": seconds, "validation_seconds": seconds / 20,
                "images_per_second": images / seconds,
            }),
            "steps": pd.DataFrame({
                "step": range(1, steps * epochs + 1), "phase": np.repeat(phases, steps),
                "epoch": np.repeat(range(1, epochs + 1), steps), "size": np.repeat(sizes, steps),
                "rate_early": 0.001, "rate_late": 0.003, "learning_rate": 0.01, "momentum": 0.9,
                "loss": rng.random(steps * epochs),
            }),
            "lr_find": pd.DataFrame({
                "phase": np.repeat(list(EPOCHS), 100), "size": np.repeat(REGIMES[regime], 100),
                "step": np.tile(range(100), 4), "learning_rate": np.tile(np.geomspace(1e-5, 10, 100), 4),
                "loss": rng.random(400),
            }),
            "predictions": pd.DataFrame([
                {"stage": stage, "resolution": resolution, "size": 250, "image": f"class {one % classes}/{one:06}.png",
                 "label": f"class {one % classes}", "predicted": f"class {rng.integers(classes)}",
                 "probability_of_label": 0.9, "probability_of_predicted": 0.91234567}
                for stage in stages for resolution in ("phase", "full") for one in range(validation)
            ]),
        }  # fmt: skip
        for name, table in recorded.items():
            table.to_csv(target / f"{name}.csv", index=False)
    for model in MODELS:
        inference = folder / "results" / "inference" / model
        (inference / "finished").mkdir(parents=True)
        for size in SIZES:
            table = pd.DataFrame({"model": model, "size": size, "batch_size": BATCH_SIZES, "seconds_an_image": 0.001})
            table.to_csv(inference / f"{size}px.csv", index=False)
        for dataset in DATASETS:
            table = pd.DataFrame({"dataset": dataset, "model": model, "regime": list(REGIMES), "p50_seconds": 0.01})
            table.to_csv(inference / "finished" / f"{dataset}.csv", index=False)


def aggregate(folder: Path, seeds: int) -> None:
    """Make the tables of all cells."""
    os.chdir(folder)
    Path("tables").mkdir()
    aggregation.write_metrics(
        [folder_of(*cell) / "metrics.json" for cell in cells(seeds)],
        [f"results/inference/{model}/{size}px.csv" for model in MODELS for size in SIZES],
        [f"results/inference/{model}/finished/{dataset}.csv" for model in MODELS for dataset in DATASETS],
        "no-increase",
        **{name: f"tables/{name}.csv" for name in ("cells", "summary", "runs")},
    )


def collect_records(folder: Path, seeds: int) -> None:
    """Join what all cells recorded."""
    os.chdir(folder)
    every, first = cells(seeds), cells(1)
    histories.write_histories(
        **{name: [folder_of(*cell) / f"{name}.csv" for cell in some]
           for name, some in {"history": every, "steps": first, "lr_find": first, "predictions": every}.items()},
        tables={name: f"tables/{name}.csv" for name in ("history", "steps", "lr_find", "confusions")},
    )  # fmt: skip


def compare(folder: Path) -> None:
    """Compare the regimes with the control."""
    os.chdir(folder)
    paired_effects.write_effects(
        "tables/cells.csv", "no-increase", 10, **{one: f"tables/{one}.csv" for one in ("efficiency", "effects")}
    )


def judge(folder: Path, seeds: int) -> None:
    """Judge the claims."""
    os.chdir(folder)
    settings = {
        "datasets": dict.fromkeys(DATASETS, "made up"), "stand_in_for": dict.fromkeys(DATASETS), "models": list(MODELS),
        "regimes": list(REGIMES), "seeds": list(range(seeds)), "control": "no-increase", "time_basis": "training",
        "folds": 10,
    }  # fmt: skip
    paths = {name: f"tables/{name}.csv" for name in ("cells", "efficiency", "effects", "runs")}
    verdict.write_verdict(**paths, settings=settings, claims_table="tables/claims.csv", verdict="verdict.md")


def pretend(folder: Path, seeds: int) -> None:
    """Have snakemake take the cells' files for its own, as after a run."""
    for dataset in DATASETS:
        data = folder / "results" / "data" / dataset
        (data / "splits").mkdir(parents=True)
        names = ("pixels.npy", "manifest.csv", *(f"splits/seed{seed}.csv" for seed in range(seeds)))
        for name in names:
            (data / name).touch()
    (folder / "results" / "weights").mkdir()
    for model in MODELS:
        (folder / "results" / "weights" / f"{model}.safetensors").touch()
    for cell, name in itertools.product(cells(seeds), CELL_FILES):
        os.utime(folder / folder_of(*cell) / name)
    targets = [str(folder_of(*cell) / "metrics.json") for cell in cells(seeds)]
    snakemake(folder, *targets, "--touch", "--allowed-rules", "train")


def main() -> None:
    """Measure each number of seeds, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 10, 100])
    print("| cells | work | seconds | ms a cell | memory, MB |\n| --- | --- | --- | --- | --- |")
    for seeds in parser.parse_args().seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, seeds)
            one = str(folder_of("ucm", "resnet18", "gradual", 0) / "metrics.json")
            every = [str(folder_of(*cell) / "metrics.json") for cell in cells(seeds)]

            def report(what: str, found: dict[str, float], count: int = len(every)) -> None:
                seconds, memory = found["seconds"], found["memory_mb"]
                print(f"| {count} | {what} | {seconds:.1f} | {1000 * seconds / count:.1f} | {memory:.0f} |", flush=True)

            report("plan", measured(snakemake, folder, "--dry-run", "--quiet", "rules"))
            report("plan one cell", measured(snakemake, folder, one, "--dry-run", "--quiet", "rules"))
            make(folder, seeds)
            report("aggregate", measured(aggregate, folder, seeds))
            report("collect_records", measured(collect_records, folder, seeds))
            report("compare", measured(compare, folder))
            report("judge", measured(judge, folder, seeds))
            report("take for finished", measured(pretend, folder, seeds))
            only_cells = ("--dry-run", "--quiet", "rules", "--allowed-rules", "train")
            report("plan, cells made", measured(snakemake, folder, *every, *only_cells))


if __name__ == "__main__":
    main()
