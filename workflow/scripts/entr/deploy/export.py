"""Export of the recommended model: weights, ONNX, classes, preprocessing as data, and a model card."""

import json
import logging
import tempfile
import zipapp
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from entr.analysis.recommended_model import read_recommended_model
from entr.deploy.held_out_accuracy import measure_held_out_accuracy
from entr.deploy.model_card import render_model_card
from entr.jobs.code_digest import source_files
from entr.jobs.directories import atomic_directory
from entr.jobs.errors import EntrError
from entr.jobs.paths import SCRIPTS, cell_of
from entr.metrics.cell_files import read_metrics, verify_files
from entr.metrics.cell_metrics import METRICS_FILE
from entr.models import architectures

log = logging.getLogger("entr")

TOLERANCE = 1e-4
"""Largest difference of logits between PyTorch and ONNX."""
TEST_IMAGES = 8
"""Number of random images on which the two are compared."""
CARD = "README.md"
PREDICT = "entr/deploy/predict"
"""The module of the prediction command, without its suffix."""
PREDICT_MAIN = """\
import sys
from pathlib import Path

if sys.version_info < (3, 11):
    raise SystemExit("predict.pyz needs Python 3.11 or newer")

try:
    from entr.deploy.predict import main
except ModuleNotFoundError as error:
    raise SystemExit(
        f"predict.pyz needs the package {error.name}, which this Python does not have; run "
        "`pip install numpy onnxruntime pillow`, or use the Python of the environment in which ENTR is installed"
    ) from None

main(Path(__file__).resolve().parent.parent)
"""
"""What `predict.pyz` runs: the command, with the model in the directory of the file."""


def export_model(
    recommendation: str | Path,
    dataset: str,
    models: Iterable[str | Path],
    card: Mapping[str, Any],
    folder: str | Path,
    *,
    images: str | Path | None = None,
    split: str | Path | None = None,
) -> None:
    """Export the recommended model of a dataset.

    Parameters
    ----------
    recommendation : path
        The table of `recommendation.write_recommendation`.
    dataset : str
        Which dataset.
    models : iterable of path
        Trained models of all cells of the dataset, each in the directory of its cell, beside its ``metrics.json``.
    card : mapping
        ``title``, ``licence`` and ``citation`` of the dataset, and ``images``, the section of the
        configuration.
    folder : path
        Directory for ``model.safetensors``, ``model.onnx``, ``classes.json``, ``preprocessing.json``,
        ``predict.pyz`` and the model card, ``README.md``; with a split also ``test.json``.
    images : path, optional
        Directory of the downscaled images.
    split : path, optional
        A split of the dataset with test images, on which the exported model is tested.

    Raises
    ------
    EntrError
        If no model is recommended, a file is damaged, or the outputs of ONNX differ from those of PyTorch.
    """
    choice = read_recommended_model(recommendation, dataset)
    wanted = (dataset, choice["model"], choice["regime"], int(choice["seed"]))
    source = next(path for path in map(Path, models) if tuple(cell_of(path).values()) == wanted)
    verify_files([source])
    model, classes = architectures.load_trained(source)
    metrics = read_metrics(source.with_name(METRICS_FILE))
    size = metrics.plan.phases[-1].size
    mean, std = architectures.normalization(metrics.model)
    preprocessing = {
        "images": dict(card["images"]),
        "size": size,
        "resize_method": metrics.plan.training.resize_method,
        "colours": "RGB",
        "interpolation": "bilinear, antialiased",
        "mean": list(mean),
        "std": list(std),
        "range": [0, 1],
    }
    with atomic_directory(folder) as target:
        (target / "model.safetensors").write_bytes(source.read_bytes())
        export_onnx(model, size, target / "model.onnx")
        _write_json(list(classes), target / "classes.json")
        _write_json(preprocessing, target / "preprocessing.json")
        write_predict_command(target / "predict.pyz")
        test = None
        if images and split:
            test = measure_held_out_accuracy(target, images, split)
            _write_json(asdict(test), target / "test.json")
            log.info("%s: accuracy on test images: %s", dataset, test)
        (target / CARD).write_text(render_model_card(metrics, classes, choice, card, test), "utf-8")
    log.info("%s: exported %s with %s, seed %d, to %s", dataset, metrics.model, metrics.regime, metrics.seed, folder)


def _write_json(value: Any, path: Path) -> None:  # noqa: ANN401  any JSON value
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")


def write_predict_command(path: str | Path) -> None:
    """Write the command that classifies images with the model in its directory, as a zip file that Python runs.

    Its modules need NumPy, Pillow and ONNX Runtime only.
    """
    with tempfile.TemporaryDirectory() as folder:
        for module in source_files(PREDICT):
            name = module.relative_to(SCRIPTS)
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(module.read_bytes())
        Path(folder, "__main__.py").write_text(PREDICT_MAIN, "utf-8")
        zipapp.create_archive(folder, path, interpreter="/usr/bin/env python3", compressed=True)


def export_onnx(model: nn.Module, size: int, path: str | Path, tolerance: float = TOLERANCE) -> None:
    """Export a model to ONNX, for any number of images of one size, and compare it with the original.

    Parameters
    ----------
    model : nn.Module
        Maps images to logits.
    size : int
        Side of the images in px.
    path : path
        The ONNX file.
    tolerance : float
        Largest difference of logits.

    Raises
    ------
    EntrError
        If a logit differs by more than `tolerance`.
    """
    model.eval()
    images = torch.randn(TEST_IMAGES, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.onnx.export(
        model,
        (images[:2],),
        path,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    difference = largest_difference(model, path, images)
    if not difference <= tolerance:
        raise EntrError(
            f"{path}: the logits of ONNX differ from those of PyTorch by {difference:.2g}, more than {tolerance:g}; "
            "report this with the name of the model"
        )
    log.info("%s: the logits of ONNX differ from those of PyTorch by at most %.1g", Path(path).name, difference)


def largest_difference(model: nn.Module, path: str | Path, images: torch.Tensor) -> float:
    """Return the largest difference of logits between a model and its ONNX file.

    Parameters
    ----------
    model : nn.Module
        Maps images to logits.
    path : path
        Its ONNX file.
    images : Tensor
        float32, shape (b, 3, size, size).
    """
    with torch.inference_mode():
        expected = model(images).numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images.numpy()})
    return float(np.abs(expected - logits).max())
