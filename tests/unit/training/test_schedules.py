"""Each schedule of config/schedules.yaml as a real cell of small images."""

import random
from itertools import chain

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from entr.config.regimes import Regime
from entr.config.training import LearningRateFinder, Training
from entr.config.training_plan import Plan
from entr.metrics.cell_files import read_metrics
from entr.metrics.cell_metrics import Cell
from entr.training.cell import train_cell

SCHEDULES = yaml.safe_load((ROOT / "config/schedules.yaml").read_text())["regimes"]
SCALE = 0.1
"""Images of 10 to 24 px."""
BATCH_SIZE = 8


def settings_of(regime):
    """Return the training settings of a regime, over those of the paper."""
    own = SCHEDULES[regime].get("training", {})
    phases = {
        name: (Training().phases[name].model_dump() if name in Training().phases else {}) | phase
        for name, phase in own.get("phases", {}).items()
    }
    changes = own | {"phases": {name: phase.model_dump() for name, phase in Training().phases.items()} | phases}
    common = {
        "batch_size": BATCH_SIZE, "lr_finder": LearningRateFinder(steps=2), "evaluation_sizes": (250,), "tta_views": 1,
        "device": "cpu",
    }  # fmt: skip
    return Training.model_validate(common | changes)


def expected_rates(plan, batches):
    """Return the learning rate of the head in each step: restarts, then annealed within each cycle."""
    for phase, by_epoch in zip(plan.phases, batches, strict=True):
        begin = 0
        for length in phase.lengths:
            for epoch in range(length):
                n_steps = len(by_epoch[begin + epoch])
                for step in range(n_steps):
                    done = (epoch + step / n_steps) / length
                    share = (1 - np.cos(np.pi * done)) / 2 if phase.anneal == "cosine" else done
                    first, last = phase.lr_factors
                    yield phase.learning_rate * (first + (last - first) * share)
            begin += length


@pytest.mark.parametrize("regime", SCHEDULES)
def test_schedule_trains_each_step_as_planned(dataset, tmp_path, regime):
    cell = Cell(dataset="micrographs", model="test_resnet", regime=regime, seed=0, weights="none")
    plan = Plan.of(settings_of(regime), Regime(**SCHEDULES[regime]), pretrained=False, scale=SCALE)
    train_cell(
        cell, plan, pixels=dataset / "pixels.npy", manifest=dataset / "manifest.csv", split=dataset / "split.csv",
        weights=None, folder=tmp_path / "cell", checkpoint=tmp_path / "cell.npz",
    )  # fmt: skip
    metrics, steps = read_metrics(tmp_path / "cell/metrics.json"), pd.read_csv(tmp_path / "cell/steps.csv")
    counts = steps.groupby("epoch")["images"].sum()
    assert len(counts) == plan.epochs == 19
    assert counts.max() <= metrics.training_images
    if any(phase.drawn for phase in plan.phases):
        # 107, 143 and 250 px at this scale; 8 · (24 / 10)² = 46.1, 8 · (24 / 14)² = 23.5
        full = steps[steps["epoch"] == steps["epoch"].shift(-1)]
        assert set(zip(full["size"], full["images"], strict=True)) <= {(10, 46), (14, 24), (24, 8)}
        assert set(steps["size"]) == {10, 14, 24}
    else:
        batches = [
            [phase.batches(epoch, metrics.training_images, random.Random(0)) for epoch in range(phase.epochs)]
            for phase in plan.phases
        ]
        in_order = list(chain.from_iterable(chain.from_iterable(batches)))
        assert steps["size"].tolist() == [batch.size for batch in in_order]
        assert steps["images"].tolist() == [batch.images for batch in in_order]
        assert steps["learning_rate"].tolist() == pytest.approx(list(expected_rates(plan, batches)), abs=1e-9)
    dropout = {phase.phase: phase.dropout for phase in plan.phases}
    assert steps["dropout"].tolist() == [dropout[phase] for phase in steps["phase"]]
    passes = steps.groupby("size")["images"].sum().to_dict()
    assert metrics.image_passes["total"] == passes
    assert np.isfinite(steps["loss"]).all()
