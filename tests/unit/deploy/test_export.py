import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from factories import flip_bit
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from PIL import Image

from entr.data.decode import downscale_image
from entr.deploy import export
from entr.deploy.held_out_accuracy import HeldOutAccuracy
from entr.deploy.model_card import render_model_card
from entr.jobs.errors import EntrError
from entr.jobs.tables import write_table
from entr.metrics.cell_metrics import Metrics
from entr.models import architectures


def test_onnx_agrees_with_pytorch_on_a_hundred_images(exported, originals):
    paths = sorted(originals.rglob("*.*"))
    images = [downscale_image(path.read_bytes(), exported.card["images"])[0] for path in [*paths, *paths][:100]]
    model, _ = architectures.load_trained(exported.model / "model.safetensors")
    batch = torch.stack([torch.from_numpy(_normalised(image)) for image in images])
    assert export.largest_difference(model.eval(), exported.model / "model.onnx", batch) < 1e-4


def _normalised(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((32, 32)), np.float32).transpose(2, 0, 1) / 128 - 1


def test_onnx_with_other_outputs_is_an_error(exported, tmp_path):
    model, _ = architectures.load_trained(exported.model / "model.safetensors")
    with pytest.raises(EntrError, match="the logits of ONNX differ from those of PyTorch by"):
        export.export_onnx(model, 32, tmp_path / "model.onnx", tolerance=0.0)


def test_classes_and_preprocessing_are_exported_as_data(exported):
    classes = json.loads((exported.model / "classes.json").read_text(encoding="utf-8"))
    assert classes == list(architectures.load_trained(exported.model / "model.safetensors")[1])
    preprocessing = json.loads((exported.model / "preprocessing.json").read_text(encoding="utf-8"))
    assert preprocessing["images"] == exported.card["images"]
    assert (preprocessing["size"], preprocessing["resize_method"]) == (32, "crop")


def test_model_card_contains_the_metrics_of_the_cell(exported):
    card = (exported.model / "README.md").read_text(encoding="utf-8")
    metrics = Metrics.model_validate_json((exported.cell / "metrics.json").read_text())
    of_phase = [evaluation for evaluation in metrics.evaluations if evaluation.resolution == "phase"]
    words = ["before fine-tuning", "after fine-tuning", "after fine-tuning, with test-time augmentation"]
    for stage, evaluation in zip(words, of_phase, strict=True):
        quality = evaluation.quality
        assert f"| {stage} | {evaluation.size} | {quality.accuracy:.4f} | {quality.macro_f1:.4f} | " in card
    assert f"{metrics.training_images} training and {metrics.validation_images} validation images" in card
    assert "0.5000, 95 % interval 0.4100 to 0.5900 (replicates: 3)" in card
    for statement in (
        "# resnet18 for Steel, magnified",
        "Licence: CC BY 4.0. Somebody 2020",
        "Initial weights: random.",
        f"torch {metrics.environment.torch}",
        "python predict.pyz IMAGES",
    ):
        assert statement in card


@pytest.mark.parametrize("test", [None, HeldOutAccuracy(60, 51, 0.85, 0.7389, 0.919)])
def test_model_card_has_the_metadata_of_the_hugging_face_hub(exported, test):
    metrics = Metrics.model_validate_json((exported.cell / "metrics.json").read_text())
    title = 'Steel: "magnified" & #1 \n---\n- {x} | <b>Größe</b> ~~1~~'
    card = exported.card | {"title": title}
    text = render_model_card(metrics, ["<b>rust</b>", "a_b *c*"], exported.choice, card, test)
    read = ModelCard(text)
    assert read.data.model_name == f"resnet18 for {title}"
    assert (read.data.pipeline_tag, read.data.library_name) == ("image-classification", "onnx")
    results = {(one.dataset_split, one.metric_type): one.metric_value for one in read.data.eval_results}
    total = next(one for one in metrics.evaluations if (one.stage, one.resolution) == ("total", "phase"))
    expected = {
        ("validation", "accuracy"): round(total.quality.accuracy, 4),
        ("validation", "f1"): round(total.quality.macro_f1, 4),
    }
    assert results == (expected | {("test", "accuracy"): 0.85} if test else expected)
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(read.text)
    assert "&lt;b&gt;rust&lt;/b&gt;, a_b *c*." in html
    heading = "resnet18 for Steel: &quot;magnified&quot; &amp; #1 --- - {x} | &lt;b&gt;Größe&lt;/b&gt; ~~1~~"
    assert f"<h1>{heading}</h1>" in html


@pytest.mark.parametrize("name", ["model.safetensors", "metrics.json"])
def test_damaged_file_of_the_cell_is_named_and_nothing_is_exported(exported, tmp_path, name):
    cell = tmp_path / "cells/micrographs/resnet18/gradual/seed0"
    shutil.copytree(exported.cell, cell)
    flip_bit(cell / name, position=(cell / name).stat().st_size // 2)
    write_table(pd.DataFrame([exported.choice]), tmp_path / "recommendation.csv")
    inputs = [tmp_path / "recommendation.csv", "micrographs", [cell / "model.safetensors"], exported.card]
    with pytest.raises(EntrError, match=rf"^{cell / name} is damaged \("):
        export.export_model(*inputs, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_dataset_without_a_recommended_model_is_an_error_with_the_reason(exported, tmp_path):
    reason = "no model of this grid is within your limits"
    row = exported.choice | {"goal": "within_limits", "recommended": False, "comparison": reason}
    write_table(pd.DataFrame([row]), tmp_path / "recommendation.csv")
    with pytest.raises(EntrError, match=f"no model of micrographs is recommended: {reason}; change the limits"):
        export.export_model(tmp_path / "recommendation.csv", "micrographs", [], exported.card, tmp_path / "model")
    assert not (tmp_path / "model").exists()
