import numpy as np
import pandas as pd
import pytest
import torch

from entr import best, classifying, networks
from entr.classifying import Classifier
from entr.guards import EntrError
from entr.measures import Cell, Metrics
from entr.regimes import Phase, Plan, RateFinder, Regime, Training
from entr.training import train_cell

PLAN = Plan.of(
    Training(
        phases={"sgdr": Phase(), "rpl": Phase(layers="all")}, schedule=("sgdr", "rpl"), sub_total_after="sgdr",
        full_size=40, batch_size=16, rate_finder=RateFinder(steps=6), test_sizes=(24,), tta_views=1, device="cpu",
    ),
    Regime(sgdr=24, rpl=32, tta=32),
    pretrained=False,
)  # fmt: skip
ABOUT = {
    "title": "Steel, seen closely", "licence": "CC BY 4.0", "citation": "Somebody 2020",
    "images": {"max_size": 64, "reduce_by": "longer", "min_size": 16, "max_pixels": 10**8},
}  # fmt: skip
CHOICE = {
    "dataset": "micrographs", "goal": "accurate", "model": "resnet18", "regime": "gradual", "seed": 0, "replicates": 3,
    "accuracy": 0.5, "accuracy_low": 0.41, "accuracy_high": 0.59, "sentence": "", "taken": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def taken(dataset, tmp_path_factory):
    """A cell that was really trained, and what is exported of it."""
    place = tmp_path_factory.mktemp("best")
    cell = place / "cells/micrographs/resnet18/gradual/seed0"
    train_cell(
        Cell(dataset="micrographs", model="resnet18", regime="gradual", seed=0, weights="none"), PLAN,
        pixels=dataset / "pixels.npy", manifest=dataset / "manifest.csv", split=dataset / "split.csv", weights=None,
        folder=cell, checkpoint=place / "checkpoint.npz",
    )  # fmt: skip
    pd.DataFrame([CHOICE]).to_csv(place / "recommendation.csv", index=False)
    best.write(place / "recommendation.csv", "micrographs", place / "cells", ABOUT, place / "micrographs")
    return place / "micrographs", cell


def test_onnx_and_pytorch_agree_on_a_hundred_images(taken, originals):
    folder, _ = taken
    paths = sorted(originals.rglob("*.*"))
    opened = [classifying._opened(path, ABOUT["images"]) for path in [*paths, *paths][:100]]
    network, _ = networks.finished(folder / "model.safetensors")
    images = torch.stack([torch.from_numpy(_array(one)) for one in opened])
    assert best.largest_difference(network.eval(), folder / "model.onnx", images) < 1e-4


def _array(image):
    return np.asarray(image.resize((32, 32)), np.float32).transpose(2, 0, 1) / 128 - 1


def test_an_export_that_gives_other_numbers_is_refused(taken, tmp_path, monkeypatch):
    network, _ = networks.finished(taken[0] / "model.safetensors")
    monkeypatch.setattr(best, "TOLERANCE", 0.0)
    with pytest.raises(EntrError, match="ONNX differs from PyTorch by"):
        best.to_onnx(network, 32, tmp_path / "model.onnx")


def test_the_card_has_the_numbers_of_the_metrics(taken):
    folder, cell = taken
    card = (folder / "README.md").read_text(encoding="utf-8")
    metrics = Metrics.model_validate_json((cell / "metrics.json").read_text())
    of_phase = [one for one in metrics.evaluations if one.at == "phase"]
    assert [one.stage for one in of_phase] == ["sub-total", "total", "total-tta"]
    for one in of_phase:
        assert f"| {one.stage} | {one.size} | {one.quality.accuracy:.4f} | {one.quality.macro_f1:.4f} | " in card
    assert f"{metrics.training_images} images to train on, {metrics.validation_images} to validate" in card
    assert "0.5000, 95 % interval 0.4100 to 0.5900 (replicates: 3)" in card
    for said in ("Licence: CC BY 4.0", "First weights: random numbers", metrics.environment.torch):
        assert said in card


def test_the_command_s_classifier_gives_the_probabilities_that_validation_had(taken, dataset, originals):
    folder, cell = taken
    predictions = pd.read_csv(cell / "predictions.csv")
    total = predictions[(predictions["stage"] == "total") & (predictions["at"] == "phase")].set_index("image")
    manifest = pd.read_csv(dataset / "manifest.csv").set_index("image")
    classifier = Classifier.open(folder, torch.device("cpu"))
    paths = [originals / manifest.loc[name, "source"] for name in total.index]
    named = list(classifier.name(paths, batch_size=5))
    assert [one.label for one in named] == total["predicted"].tolist()
    assert [one.probability for one in named] == pytest.approx(total["probability_of_predicted"].tolist(), abs=1e-5)


def test_files_that_are_no_images_are_said_and_the_others_named(taken, originals, tmp_path):
    good = sorted(originals.rglob("*.*"))[0]
    (tmp_path / "sub folder").mkdir()
    (tmp_path / "sub folder" / "Größe 1.PNG").write_bytes(good.read_bytes())
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:200])
    (tmp_path / ".hidden.png").write_bytes(good.read_bytes())
    named = list(Classifier.open(taken[0], torch.device("cpu")).name(classifying.files([tmp_path]), batch_size=2))
    assert [(one.path.rpartition("/")[2], bool(one.label)) for one in named] == [
        ("cut.png", False), ("notes.txt", False), ("Größe 1.PNG", True),
    ]  # fmt: skip
    assert all(bool(one.problem) != bool(one.label) for one in named)


def test_a_folder_without_a_network_is_one_clear_error(tmp_path):
    with pytest.raises(EntrError, match=r"is no folder that ENTR made: .*; give results/best/<dataset>"):
        Classifier.open(tmp_path, torch.device("cpu"))
    with pytest.raises(EntrError, match="there is no "):
        classifying.files([tmp_path / "absent"])
    with pytest.raises(EntrError, match="no files in "):
        classifying.files([tmp_path])


def test_nothing_within_the_limits_leaves_nothing_and_says_why(tmp_path):
    nothing = {**CHOICE, "goal": "within", "taken": False, "sentence": "nothing that was run is within your limits"}
    pd.DataFrame([nothing]).to_csv(tmp_path / "recommendation.csv", index=False)
    with pytest.raises(EntrError, match="nothing that was run is within your limits; change recommend"):
        best.write(tmp_path / "recommendation.csv", "micrographs", tmp_path, ABOUT, tmp_path / "out")
    assert not (tmp_path / "out").exists()
