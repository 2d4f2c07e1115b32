"""Simulated tables of a grid with the columns of real ones, for tests only."""

import itertools
from functools import cache, partial

import numpy as np
import pandas as pd
from factories import write_metrics_file
from PIL import Image

from entr.analysis import aggregation, paired_effects, pareto_front, time_to_accuracy
from entr.analysis.estimation import validation_training_ratio
from entr.config.regimes import Regime
from entr.config.study_design import StudyDesign
from entr.config.training import Training
from entr.config.training_plan import Plan
from entr.figures.figure_data import FigureData
from entr.jobs.tables import write_table
from entr.metrics.labels import CELL

SIZES = {
    "no-increase": (250, 250, 250, 250),
    "gradual": (100, 150, 200, 250),
    "stepwise": (100, 100, 250, 250),
    "small": (100, 100, 100, 100),
}
PHASES = {"sgdr": 2, "clrs": 3, "cmult": 7, "rpl": 7}
STAGES = {"sub-total": 12, "total": 19, "total-tta": 19}
TITLES = {"ucm": "UCM", "steel": "Steel", "bees": "Bees"}
MODELS = ("resnet18", "resnet34", "resnet50")
REGIMES = ("no-increase", "gradual", "stepwise")
CLASSES = {"ucm": 21, "steel": 7, "bees": 22}
LEVEL = {"ucm": 0.93, "steel": 0.8, "bees": 0.78}
NAMES = ("nan", "null", "</script>", "a|b", 'quo"te', "É", "agricultural")
"""Class names that are easily damaged by CSV, JSON or HTML."""


def design(datasets=("ucm",), models=("resnet18", "resnet50"), regimes=REGIMES, seeds=2, **changes):
    """Return the design of a simulated grid."""
    fields = {
        "datasets": {name: TITLES.get(name, name) for name in datasets},
        "stand_in_for": dict.fromkeys(datasets),
        "models": models,
        "regimes": regimes,
        "seeds": range(seeds),
        "control": "no-increase",
        "time_basis": "training",
        "folds": 10,
    }
    return StudyDesign(**fields | changes)


def sizes_of(regime):
    return SIZES.get(regime, SIZES["gradual"])


def plans(datasets, regimes):
    """Return the paper's training plan for each dataset and regime, as plain values."""

    def plan(regime):
        sizes = dict(zip(PHASES, sizes_of(regime), strict=True))
        return Plan.of(Training(), Regime(**sizes, tta=sizes["rpl"]), pretrained=True).plain()

    return {dataset: {regime: plan(regime) for regime in regimes} for dataset in datasets}


def figure_data(tables, images=None, **factors):
    """Return the data of figures; `factors` are arguments of `design`."""
    study = design(**factors)
    return FigureData(tables, study, plans=plans(study.datasets, study.regimes), images=images or {})


@cache
def grid(
    datasets=("ucm",),
    models=("resnet18", "resnet50"),
    regimes=REGIMES,
    seeds=2,
    time_bases=("training", "forward", "latency"),
):
    """Return every table by name. They are cached, so do not modify them."""
    rng = np.random.default_rng(0)
    histories = pd.concat(
        [_history(rng, *cell) for cell in itertools.product(datasets, models, regimes, range(seeds))], ignore_index=True
    )
    metrics = pd.DataFrame(
        [
            row
            for cell, history in histories.groupby(CELL, sort=False)
            for row in _metrics(rng, cell, history, time_bases)
        ]
    )
    # only the phase's resolution, because effects at both take long
    of_phase = metrics[metrics["resolution"] == "phase"]
    pairs = paired_effects.pair_with_control(of_phase, "no-increase")
    first = histories[histories["seed"] == 0]
    cells = _cells(rng, histories)
    times = time_to_accuracy.times_to_accuracy(histories, cells, "no-increase")

    def of_cells(make, rows):
        return pd.concat([make(cell, part) for cell, part in rows.groupby(CELL, sort=False)], ignore_index=True)

    return {
        "metrics": metrics,
        "summary": aggregation.summarise(metrics),
        "cells": cells,
        "history": histories.drop(columns="level"),
        "steps": of_cells(lambda _, history: _steps(history), first),
        "lr_find": of_cells(partial(_curves, rng), first),
        "confusions": of_cells(lambda cell, _: _confusions(rng, cell), histories),
        "pairs": pairs,
        "effects": paired_effects.effects_table(pairs, validation_training_ratio(10)),
        "pareto_front": pareto_front.fronts_table(of_phase, "no-increase"),
        "time_to_accuracy": times,
        "time_to_accuracy_effects": time_to_accuracy.effects_on_time(
            times, "no-increase", validation_training_ratio(10)
        ),
    }


def _history(rng, dataset, model, regime, seed):
    sizes = [size for size, epochs in zip(sizes_of(regime), PHASES.values(), strict=True) for _ in range(epochs)]
    phases = [phase for phase, epochs in PHASES.items() for _ in range(epochs)]
    epoch = np.arange(1, 20)
    cost = {"resnet18": 1, "resnet34": 1.8, "resnet50": 3}.get(model, 1)
    layers = np.where(np.array(phases) == "rpl", "all", "head")
    seconds = (
        cost * (4 + 26 * (np.array(sizes) / 250) ** 2) * np.where(layers == "all", 2.4, 1) * rng.normal(1, 0.02, 19)
    )
    limit = LEVEL.get(dataset, 0.8) - 0.04 * (np.array(sizes) < 200) + 0.01 * (cost > 1)
    accuracy = np.clip(limit - 0.4 * np.exp(-epoch / 4) + 0.03 * (layers == "all") + rng.normal(0, 0.008, 19), 0, 1)
    loss = 2.2 * (1 - accuracy) + 0.1
    return pd.DataFrame(
        {
            "dataset": dataset,
            "model": model,
            "regime": regime,
            "seed": seed,
            "epoch": epoch,
            "phase": phases,
            "size": sizes,
            "layers": layers,
            "learning_rate": 0.01,
            "training_loss": loss * rng.normal(1.05, 0.03, 19),
            "validation_loss": loss,
            "accuracy": accuracy,
            "training_seconds": seconds,
            "issue_seconds": seconds,
            "validation_seconds": seconds / 20,
            "images_per_second": 1890 / seconds,
            "level": accuracy,
        }
    )


def _metrics(rng, cell, history, time_bases, stages=None):
    key = dict(zip(CELL, cell, strict=True))
    for stage, epochs in (stages or STAGES).items():
        level = min(1, history["level"].iloc[epochs - 1] + 0.01 * (stage == "total-tta"))
        training = history["training_seconds"].iloc[:epochs].sum()
        seconds = {"training": training, "forward": training / 3.1, "latency": 0.006}
        for resolution, size in (("phase", history["size"].iloc[epochs - 1]), ("full", 250)):
            shared = key | {"stage": stage, "resolution": resolution, "size": size}
            accuracy = level if resolution == "phase" else 0.99 * level
            yield shared | {"metric": "accuracy", "time_basis": "", "value": accuracy, "unit": "fraction"}
            for time_basis in time_bases:
                yield shared | {"metric": "time", "time_basis": time_basis, "value": seconds[time_basis], "unit": "s"}
                efficiency = np.sqrt(accuracy / seconds[time_basis])
                yield shared | {"metric": "efficiency", "time_basis": time_basis, "value": efficiency, "unit": "s^-1/2"}
        if stage != "total-tta":
            shared = key | {"stage": stage, "resolution": "full", "size": 250, "time_basis": ""}
            diagnostics = {"training_negative_log_likelihood": 0.2, "loss_gap": 0.12, "accuracy_gap": 0.04}
            diagnostics |= {f"weight_distance_{group}": 0.1 for group in ("early", "late", "head")}
            for metric, value in diagnostics.items():
                yield shared | {"metric": metric, "value": value * rng.lognormal(0, 0.15), "unit": "1"}
    for size in (75, 100, 150, 200, 250, 300, 350):
        value = np.clip(level - 0.25 * np.log(size / 250) ** 2 + rng.normal(0, 0.006), 0, 1)
        shared = key | {"stage": "total", "resolution": "other", "size": size}
        yield shared | {"metric": "accuracy", "time_basis": "", "value": value, "unit": "fraction"}


def _cells(rng, histories):
    rows = []
    for cell, history in histories.groupby(CELL, sort=False):
        training = history["training_seconds"].sum()
        seconds = {"resize": 3.0, "training": training, "validation": training / 20, "lr_finder": 25.0}
        seconds |= {
            "evaluation": 22.0,
            "loading": 1.2,
            "checkpoint": 2.0,
            "starting": 6.0,
            "waiting": 0.1,
            "other": rng.uniform(0.5, 1),
        }
        seconds["wall"] = sum(seconds.values())
        key = dict(zip(CELL, cell, strict=True))
        setup = {
            "weights": "none",
            "scale": 1.0,
            "precision": "float32",
            "epochs": 19,
            "classes": CLASSES.get(cell[0], 7),
            "sizes_in_host_memory": "",
        }
        setup |= {"device": "a simulated processor", "python": "3.11.7", "torch": "2.13.0"}
        rows.append(key | setup | {f"seconds_{part}": value for part, value in seconds.items()})
    return pd.DataFrame(rows)


def _steps(history, batches=29):
    rows = history.loc[history.index.repeat(batches), [*CELL, "phase", "epoch", "size", "layers"]].reset_index(
        drop=True
    )
    share = np.tile(np.arange(batches) / batches, len(history))
    rate = 0.005 * (1 + np.cos(np.pi * share))
    factor = np.where(rows.pop("layers") == "all", 1, 0)
    return rows.assign(
        step=np.arange(1, len(rows) + 1),
        images=24,
        dropout=0.1,
        rate_early=rate / 9 * factor,
        rate_late=rate / 3 * factor,
        learning_rate=rate,
        momentum=0.9,
        loss=1.0,
    )


def _curves(rng, cell, history):
    key = dict(zip(CELL, cell, strict=True))
    rates = np.geomspace(1e-5, 10, 100)
    parts = []
    for phase, size in history.groupby("phase", sort=False)["size"].first().items():
        loss = 2 - 1.4 * np.exp(-(np.log10(rates / 0.1) ** 2)) + (rates / 2) ** 2 + rng.normal(0, 0.02, 100)
        curve = {"phase": phase, "size": size, "step": range(100), "learning_rate": rates, "loss": loss}
        parts.append(pd.DataFrame(key | curve))
    return pd.concat(parts)


def names_of(dataset):
    """Return the class names of a dataset."""
    count = CLASSES.get(dataset, 7)
    return [*NAMES, *(f"class {number:02}" for number in range(count))][:count]


def _confusions(rng, cell):
    key = dict(zip(CELL, cell, strict=True))
    names = names_of(cell[0])
    rows = []
    for position, label in enumerate(names):
        other = names[(position + 1) % len(names)]
        wrong = int(rng.integers(0, 4))
        for predicted, images in ((label, 10 - wrong), (other, wrong)):
            if images:
                rows.append(
                    key | {"label": label, "predicted": predicted, "images": images, "example": f"{position:02}.png"}
                )
    return pd.DataFrame(rows)


def images(folder, datasets):
    """Write one image per class, and return the directories by dataset."""
    for dataset in datasets:
        (folder / dataset).mkdir(parents=True, exist_ok=True)
        for position in range(CLASSES.get(dataset, 7)):
            shade = tuple(int(x) for x in np.random.default_rng(position).integers(40, 220, 3))
            Image.new("RGB", (120, 90), shade).save(folder / dataset / f"{position:02}.png")
    return {dataset: folder / dataset for dataset in datasets}


def errors(folder, classes=NAMES, mislabelled=2, mistakes=3, seeds=2, images=210):
    """Write what the page of errors is made from, and return it as arguments of `write_error_analysis`.

    Each seed of ten validates on a tenth of the images, of which `mislabelled` and `mistakes` are misclassified: the
    former with confidence, the latter without.
    """
    names = [classes[number % len(classes)] for number in range(images)]
    (folder / "images").mkdir(parents=True)
    for number in range(images):
        shade = tuple(int(x) for x in np.random.default_rng(number).integers(40, 220, 3))
        Image.new("RGB", (300, 90) if number % 2 else (30, 40), shade).save(folder / "images" / f"{number:03}.png")
    manifest = pd.DataFrame(
        {
            "image": [f"{number:03}.png" for number in range(images)],
            "label": names,
            "source": [f"{name}/<i>photo</i> & {number}.jpg" for number, name in enumerate(names)],
        }
    )
    choice = {"dataset": "ucm", "goal": "accurate", "model": "resnet18", "regime": "gradual", "recommended": True}
    paths = []
    for regime, seed in itertools.product(("no-increase", "gradual"), range(seeds)):
        rows = manifest[manifest.index * 10 // images == seed].reset_index(drop=True)
        other = [classes[(classes.index(label) + 1) % len(classes)] for label in rows["label"]]
        is_wrong = (rows.index < mislabelled + mistakes) & (regime == "gradual")
        is_certain = rows.index < mislabelled
        predictions = pd.DataFrame(
            {
                "stage": "total-tta",
                "resolution": "phase",
                "size": 100,
                "image": rows["image"],
                "label": rows["label"],
                "predicted": np.where(is_wrong, other, rows["label"]),
                "probability_of_label": np.where(is_wrong, np.where(is_certain, 0.01, 0.3), 0.9),
                "probability_of_predicted": np.where(is_wrong, np.where(is_certain, 0.98, 0.4), 0.9),
            }
        )
        paths.append(folder / "cells" / "ucm" / "resnet18" / regime / f"seed{seed}" / "predictions.csv")
        # an earlier stage, at which everything is wrong
        write_table(pd.concat([predictions.assign(stage="total", predicted=other), predictions]), paths[-1])
        write_metrics_file(paths[-1].parent)
    write_table(manifest, folder / "manifest.csv")
    write_table(pd.DataFrame([choice]), folder / "recommendation.csv")
    return {
        "recommendation": folder / "recommendation.csv",
        "predictions": paths,
        "manifest": folder / "manifest.csv",
        "images": folder / "images",
        "dataset": "ucm",
        "design": design(seeds=seeds),
        "tested": False,
        "outputs": {"page": folder / "errors" / "ucm.html", "table": folder / "errors" / "ucm.csv"},
    }
