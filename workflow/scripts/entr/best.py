"""The network to take home: weights, ONNX, classes, preprocessing as data, and a model card."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import torch
from torch import nn

from entr import networks
from entr.guards import EntrError, atomic_directory
from entr.measures import Metrics

log = logging.getLogger("entr")

TOLERANCE = 1e-4
"""Largest difference of logits between PyTorch and ONNX."""
CHECKED = 8
"""Images, of random numbers, on which the two are compared."""
CARD = "README.md"


def write(
    recommendation: str | Path, dataset: str, cells: str | Path, about: Mapping[str, Any], folder: str | Path
) -> None:
    """Export the network that is recommended for a dataset.

    Parameters
    ----------
    recommendation : path
        The table of `recommend.write`.
    dataset : str
        Which dataset.
    cells : path
        The folder ``results/cells``.
    about : mapping
        ``title``, ``licence`` and ``citation`` of the data, ``weights``, and ``images``, the section of the
        configuration.
    folder : path
        Becomes a folder with ``model.safetensors``, ``model.onnx``, ``classes.json``,
        ``preprocessing.json`` and a model card, ``README.md``.

    Raises
    ------
    EntrError
        When nothing is recommended, or ONNX gives other numbers than PyTorch.
    """
    table = pd.read_csv(recommendation, keep_default_na=False)
    rows = table[(table["dataset"] == dataset) & (table["taken"].astype(str) == "True")]
    if not len(rows):
        said = "; ".join(table.loc[(table["dataset"] == dataset) & (table["goal"] == "within"), "sentence"])
        raise EntrError(f"no network of {dataset} to take home: {said or 'no cell is finished'}; change recommend")
    chosen = rows.iloc[0]
    cell = Path(cells, dataset, chosen["model"], chosen["regime"], f"seed{int(float(chosen['seed']))}")
    network, classes = networks.finished(cell / "model.safetensors")
    metrics = Metrics.model_validate_json((cell / "metrics.json").read_text(encoding="utf-8"))
    size = metrics.plan.steps[-1].size
    mean, std = networks.normalization(metrics.model)
    preprocessing = {
        "images": dict(about["images"]), "size": size, "fit": metrics.plan.training.fit, "colours": "RGB",
        "interpolation": "bilinear, antialiased", "mean": list(mean), "std": list(std), "range": [0, 1],
    }  # fmt: skip
    with atomic_directory(folder) as place:
        (place / "model.safetensors").write_bytes((cell / "model.safetensors").read_bytes())
        to_onnx(network, size, place / "model.onnx")
        (place / "classes.json").write_text(json.dumps(list(classes), ensure_ascii=False, indent=2) + "\n", "utf-8")
        (place / "preprocessing.json").write_text(json.dumps(preprocessing, indent=2) + "\n", "utf-8")
        (place / CARD).write_text(card(metrics, classes, chosen, about), "utf-8")
    log.info("%s: %s with %s, seed %d, is in %s", dataset, metrics.model, metrics.regime, metrics.seed, folder)


def to_onnx(network: nn.Module, size: int, path: str | Path) -> None:
    """Export a network to ONNX, for any number of images of one size, and compare it with the original.

    Raises
    ------
    EntrError
        When a logit differs by more than `TOLERANCE`.
    """
    network.eval()
    images = torch.randn(CHECKED, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.onnx.export(
        network, (images[:2],), path, dynamo=True, external_data=False, verbose=False,
        input_names=["images"], output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("batch")},),
    )  # fmt: skip
    difference = largest_difference(network, path, images)
    if not difference <= TOLERANCE:
        raise EntrError(f"{path}: ONNX differs from PyTorch by {difference:.2g}, more than {TOLERANCE:g}")
    log.info("ONNX differs from PyTorch by %.1g at most", difference)


def largest_difference(network: nn.Module, path: str | Path, images: torch.Tensor) -> float:
    """Return the largest difference of logits between a network and its ONNX file.

    Parameters
    ----------
    network : nn.Module
        Maps images to logits.
    path : path
        Its ONNX file.
    images : Tensor
        float32, shape (b, 3, size, size).
    """
    with torch.inference_mode():
        ours = network(images).numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"images": images.numpy()})
    return float(np.abs(ours - theirs).max())


def card(metrics: Metrics, classes: Sequence[str], chosen: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Return the model card [Mitchell et al. 2019, doi 10.1145/3287560.3287596], in Markdown."""
    environment, training = metrics.environment, metrics.plan.training
    measured = [
        f"| {one.stage} | {one.size} | {one.quality.accuracy:.4f} | {one.quality.macro_f1:.4f} | "
        f"{one.quality.negative_log_likelihood:.4f} | {one.quality.calibration_error:.4f} |"
        for one in metrics.evaluations
        if one.at == "phase"
    ]
    over_seeds = f"{float(chosen['accuracy']):.4f}"
    if str(chosen["accuracy_low"]):
        over_seeds += f", 95 % interval {float(chosen['accuracy_low']):.4f} to {float(chosen['accuracy_high']):.4f}"
    first = {
        "none": "random numbers",
        "imagenet": "ImageNet weights as torchvision or timm publish them; their licence, and that of ImageNet, apply",
    }.get(metrics.weights, f"the file {metrics.weights}; its licence applies")
    phases = ", ".join(
        f"{step.phase} {step.epochs} × {step.shown()[-1]} px ({step.layers})" for step in metrics.plan.steps
    )
    side = metrics.plan.steps[-1].size
    return "\n".join(
        [
            f"# {metrics.model} for {about['title']}",
            "",
            f"Tells {len(classes)} classes apart: {', '.join(classes)}.",
            "",
            "## Use",
            "",
            "`model.safetensors` is for `workflow/scripts/classify.py` of ENTR, `model.onnx` for any ONNX runtime: "
            f"input `images`, float32 of shape (n, 3, {side}, {side}), prepared as `preprocessing.json` says; output "
            "`logits`, shape (n, classes), in the order of `classes.json`.",
            "",
            "## Data",
            "",
            f"{about['title']}: {metrics.training_images} images to train on, {metrics.validation_images} to validate. "
            f"Licence: {about['licence'] or 'not stated'}. {about['citation']}".rstrip(),
            "",
            "## Measures",
            "",
            "On the validation images of this replicate:",
            "",
            "| stage | px | accuracy | macro F1 | negative log-likelihood | calibration error |",
            "| --- | --- | --- | --- | --- | --- |",
            *measured,
            "",
            f"Mean accuracy with test-time augmentation: {over_seeds} (replicates: {chosen['replicates']:.0f}). "
            "`classify.py` looks at each image once, as the stage `total` does.",
            "",
            "## Training",
            "",
            f"First weights: {first}. Regime {metrics.regime}, seed {metrics.seed}: {phases}; batches of "
            f"{training.batch_size}, learning rate {training.learning_rate:g}. {metrics.seconds.training:.1f} s in "
            f"training steps on {environment.device}, {metrics.precision}; Python {environment.python}, torch "
            f"{environment.torch}, torchvision {environment.torchvision}, fastai {environment.fastai}.",
            "",
            "## Limits",
            "",
            "- It knows these classes alone, and gives one of them to any image.",
            "- Measured on images of the same collection; others (camera, light, season) may be named worse.",
            "- It was chosen among several by these images; on others it is likely to be a little less accurate.",
            "- A probability is the network's, and right no more often than its calibration error lets expect.",
            "",
        ]
    )
