"""A cell that is really trained, and its exported model."""

from types import SimpleNamespace

import pandas as pd

from entr.config.regimes import Regime
from entr.config.training import LearningRateFinder, Phase, Training
from entr.config.training_plan import Plan
from entr.deploy.export import export_model
from entr.jobs.tables import write_table
from entr.metrics.cell_metrics import Cell
from entr.training.cell import train_cell

TRAINING = Training(
    phases={"sgdr": Phase(), "rpl": Phase(layers="all")},
    schedule=("sgdr", "rpl"),
    subtotal_after="sgdr",
    full_size=40,
    batch_size=16,
    lr_finder=LearningRateFinder(steps=6),
    evaluation_sizes=(24,),
    tta_views=1,
    device="cpu",
)
PLAN = Plan.of(TRAINING, Regime(sgdr=24, rpl=32, tta=32), pretrained=False)
CARD = {
    "title": "Steel, magnified",
    "licence": "CC BY 4.0",
    "citation": "Somebody 2020",
    "images": {"max_side": 64, "resize_side": "longer", "min_side": 16, "max_pixels": 10**8},
}
CHOICE = {
    "dataset": "micrographs",
    "goal": "accurate",
    "model": "resnet18",
    "regime": "gradual",
    "seed": 0,
    "replicates": 3,
    "accuracy": 0.5,
    "accuracy_low": 0.41,
    "accuracy_high": 0.59,
    "comparison": "",
    "recommended": True,
}


def train_and_export(dataset, folder):
    """Return the directories `model`, of the exported model, and `cell`, of its cell; its `card`; and the `choice`."""
    cell = folder / "cells/micrographs/resnet18/gradual/seed0"
    train_cell(
        Cell(dataset="micrographs", model="resnet18", regime="gradual", seed=0, weights="none"),
        PLAN,
        pixels=dataset / "pixels.npy",
        manifest=dataset / "manifest.csv",
        split=dataset / "split.csv",
        weights=None,
        folder=cell,
        checkpoint=folder / "checkpoint.npz",
    )
    write_table(pd.DataFrame([CHOICE]), folder / "recommendation.csv")
    models = [cell.with_name("seed1") / "model.safetensors", cell / "model.safetensors"]
    export_model(folder / "recommendation.csv", "micrographs", models, CARD, folder / "micrographs")
    return SimpleNamespace(model=folder / "micrographs", cell=cell, card=CARD, choice=CHOICE)
