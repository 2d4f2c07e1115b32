"""Simulated tables of the published schedules, whose regimes differ in phases, sizes, epochs and batches."""

import math
import random
from functools import cache, partial

import numpy as np
import pandas as pd
import simulated
from configurations import CATALOGUE, PAPER, merged
from conftest import ROOT

from entr.analysis import aggregation, paired_effects, pareto_front, time_to_accuracy
from entr.analysis.estimation import validation_training_ratio
from entr.config.validation import validate_config
from entr.figures.figure_data import FigureData
from entr.jobs.tables import write_table
from entr.metrics.labels import CELL
from entr.report import recommendation, verdict

SCHEDULES = ROOT / "config" / "schedules.yaml"
IMAGES = 1890
"""Training images."""
COST = {"resnet18": 1, "resnet34": 1.8, "resnet50": 3}


@cache
def config(datasets=("ucm",), models=("resnet18",), seeds=3):
    """Return the configuration of a grid of the published schedules."""
    grid = {"datasets": list(datasets), "models": list(models), "seeds": list(range(seeds))}
    return validate_config(merged(CATALOGUE, PAPER, SCHEDULES, grid=grid))


def figure_data(tables, images=None, **factors):
    """Return the data of figures; `factors` are arguments of `config`."""
    settings = config(**factors)
    plans = {dataset: settings.plans(dataset) for dataset in settings.grid.datasets}
    return FigureData(tables, settings.study(), plans=plans, images=images or {})


@cache
def grid(datasets=("ucm",), models=("resnet18",), seeds=3):
    """Return every table by name. They are cached, so do not modify them."""
    settings = config(datasets, models, seeds)
    rng = np.random.default_rng(0)
    cells = [
        (dataset, model, regime, seed)
        for dataset in datasets
        for model in models
        for regime in settings.grid.regimes
        for seed in range(seeds)
    ]
    plans = {(dataset, regime): settings.plan(dataset, regime) for dataset, _, regime, _ in cells}

    def of_cells(make, some=cells):
        parts = []
        for cell in some:
            key = dict(zip(CELL, cell, strict=True))
            parts.append(pd.DataFrame(make(cell, plans[cell[0], cell[2]])).assign(**key))
        rows = pd.concat(parts, ignore_index=True)
        return rows[[*CELL, *rows.columns.difference(CELL, sort=False)]]

    history = of_cells(partial(_history, rng))
    rows = []
    for cell, own in history.groupby(CELL, sort=False):
        plan = plans[cell[0], cell[2]]
        before = [phase.phase for phase in plan.phases].index(plan.training.subtotal_after) + 1
        subtotal = sum(phase.epochs for phase in plan.phases[:before])
        stages = {"sub-total": subtotal, "total": plan.epochs, "total-tta": plan.epochs}
        rows += simulated._metrics(rng, cell, own, ("training",), stages)
    metrics = pd.DataFrame(rows)
    of_phase = metrics[metrics["resolution"] == "phase"]
    pairs = paired_effects.pair_with_control(of_phase, "no-increase")
    finished = simulated._cells(rng, history)
    times = time_to_accuracy.times_to_accuracy(history, finished, "no-increase")
    ratio = validation_training_ratio(10)
    first = [cell for cell in cells if cell[3] == 0]
    return {
        "metrics": metrics,
        "summary": aggregation.summarise(metrics),
        "cells": finished,
        "history": history.drop(columns="level"),
        "steps": of_cells(_steps, first),
        "lr_find": of_cells(partial(_curves, rng), first),
        "confusions": of_cells(lambda cell, _: simulated._confusions(rng, cell).drop(columns=CELL)),
        "pairs": pairs,
        "effects": paired_effects.effects_table(pairs, ratio),
        "pareto_front": pareto_front.fronts_table(of_phase, "no-increase"),
        "time_to_accuracy": times,
        "time_to_accuracy_effects": time_to_accuracy.effects_on_time(times, "no-increase", ratio),
    }


def write_results(data, folder):
    """Write what the report is made from, apart from the figures: tables, verdict and recommendation."""
    tables = folder / "tables"
    titles = data.design.datasets.items()
    datasets = pd.DataFrame([{"dataset": name, "title": title, "images_found": IMAGES} for name, title in titles])
    for name, table in (data.tables | {"datasets": datasets}).items():
        write_table(table, tables / f"{name}.csv")
    verdict.write_verdict(
        **{name: tables / f"{name}.csv" for name in ("metrics", "pairs", "effects", "cells")},
        design=data.design,
        outputs={
            "answer": tables / "answer.csv",
            "claims": tables / "claims.csv",
            "text": folder / "answer.txt",
            "verdict": folder / "verdict.md",
        },
    )
    recommendation.write_recommendation(
        metrics=tables / "metrics.csv",
        summary=tables / "summary.csv",
        fronts=tables / "pareto_front.csv",
        design=data.design,
        limits={"max_seconds": None, "min_accuracy": None},
        outputs={"table": tables / "recommendation.csv", "text": folder / "recommendation.md"},
    )


def _history(rng, cell, plan):
    dataset, model, regime, seed = cell
    epochs = [(phase, epoch) for phase in plan.phases for epoch in range(phase.epochs)]
    sizes = random.Random(seed)
    batches = [phase.batches(epoch, IMAGES, sizes) for phase, epoch in epochs]
    is_all = np.array([phase.layers == "all" for phase, _ in epochs])
    seconds = [sum(batch.images * (batch.size / 250) ** 2 for batch in own) for own in batches]
    seconds = COST[model] * (3 + 30 * np.array(seconds) / IMAGES) * np.where(is_all, 2.4, 1)
    seconds *= rng.normal(1, 0.02, len(epochs))
    size = np.array([phase.input_size_in(epoch) for phase, epoch in epochs])
    number = np.arange(1, len(epochs) + 1)
    level = simulated.LEVEL.get(dataset, 0.8) - 0.0003 * np.maximum(0, 250 - size) + 0.01 * (COST[model] > 1)
    level += 0.004 * (len(regime) % 5) - 0.008
    noise = rng.normal(0, 0.006, len(epochs))
    accuracy = np.clip(level - 0.35 * np.exp(-number / 4) + 0.03 * is_all + noise, 0, 0.999)
    loss = 2.2 * (1 - accuracy) + 0.1
    return {
        "epoch": number,
        "phase": [phase.phase for phase, _ in epochs],
        "size": size,
        "layers": [phase.layers for phase, _ in epochs],
        "learning_rate": [phase.learning_rate for phase, _ in epochs],
        "training_loss": loss * rng.normal(1.05, 0.03, len(epochs)),
        "validation_loss": loss,
        "accuracy": accuracy,
        "training_seconds": seconds,
        "issue_seconds": seconds,
        "validation_seconds": seconds / 20,
        "images_per_second": IMAGES / seconds,
        "level": accuracy,
    }


def _steps(_, plan):
    sizes = random.Random(0)
    rows, number = [], 0
    for phase in plan.phases:
        ends = np.cumsum(phase.lengths)
        for epoch in range(phase.epochs):
            batches = phase.batches(epoch, IMAGES, sizes)
            cycle = int(np.searchsorted(ends, epoch, side="right"))
            number += 1
            for position, batch in enumerate(batches):
                done = epoch + position / len(batches) - (ends[cycle] - phase.lengths[cycle])
                early, late, head = phase.learning_rates()
                factor = _factor(phase, done / phase.lengths[cycle])
                rows.append(
                    {
                        "phase": phase.phase,
                        "epoch": number,
                        "size": batch.size,
                        "images": batch.images,
                        "dropout": phase.dropout,
                        "rate_early": early * factor * (phase.layers == "all"),
                        "rate_late": late * factor * (phase.layers == "all"),
                        "learning_rate": head * factor,
                        "momentum": 0.9,
                        "loss": 1.0,
                    }
                )
    return pd.DataFrame(rows).assign(step=range(1, len(rows) + 1))


def _factor(phase, progress):
    start, end = phase.lr_factors
    remaining = (1 + math.cos(math.pi * progress)) / 2 if phase.anneal == "cosine" else 1 - progress
    return end + (start - end) * remaining


def _curves(rng, _, plan):
    rates = np.geomspace(1e-5, 10, 100)
    parts = []
    for number, phase in enumerate(plan.phases):
        for size in phase.stored_sizes():
            height = 2.2 / (1 + number) + 0.2
            noise = rng.normal(0, 0.02, 100)
            loss = height * (1 - 0.6 * np.exp(-(np.log10(rates / 0.1) ** 2))) + (rates / 2) ** 2 + noise
            curve = {"phase": phase.phase, "size": size, "step": range(100), "learning_rate": rates, "loss": loss}
            parts.append(pd.DataFrame(curve))
    return pd.concat(parts)
