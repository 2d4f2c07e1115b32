import json
import os
import re
import subprocess
import sys
import venv
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image

from entr.config.training import Augmentation
from entr.deploy.predict import Classifier, find_images
from entr.jobs.errors import EntrError
from entr.jobs.paths import SCRIPTS
from entr.jobs.tables import read_table
from entr.training.batches import CropDataset, make_loader
from entr.training.resize import PackedImages, resize_images


def run_predict(*arguments):
    """Run the command as a user does, and return the finished process."""
    command = [sys.executable, "-m", "entr.deploy.predict", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_predictions_agree_with_those_of_the_validation(exported, dataset, originals):
    predictions = read_table(exported.cell / "predictions.csv")
    validation = predictions[(predictions["stage"] == "total") & (predictions["resolution"] == "phase")]
    sources = read_table(dataset / "manifest.csv").set_index("image")["source"]
    classifier = Classifier.open(exported.model)
    paths = [originals / sources[image] for image in validation["image"]]
    predicted = list(classifier.predict(paths, batch_size=5))
    assert [one.prediction for one in predicted] == validation["predicted"].tolist()
    probabilities = validation["probability_of_predicted"].tolist()
    assert [one.probability for one in predicted] == pytest.approx(probabilities, abs=1e-5)


def test_command_classifies_images_and_states_the_problem_of_other_files(exported, originals, tmp_path):
    image = min(originals.rglob("*.*")).read_bytes()
    images = tmp_path / "images"
    (images / "sub folder").mkdir(parents=True)
    (images / "sub folder" / "Größe 1.PNG").write_bytes(image)
    (images / "notes.txt").write_text("not an image")
    (images / "truncated.png").write_bytes(image[:200])
    (images / ".hidden.png").write_bytes(image)
    Path(os.fsdecode(os.fsencode(images) + b"/z caf\xe9.png")).write_bytes(image)
    done = run_predict(exported.model, images, "--output", tmp_path / "predictions.csv", "--batch-size", "2")
    assert done.returncode == 0, done.stderr
    assert "2 images classified, 2 files skipped" in done.stderr
    table = pd.read_csv(tmp_path / "predictions.csv", keep_default_na=False, na_values={"probability": [""]})
    assert list(table) == ["path", "prediction", "probability", "problem"]
    assert [path.rpartition("/")[2] for path in table["path"]] == [
        *("notes.txt", "Größe 1.PNG", "truncated.png", "z caf\N{REPLACEMENT CHARACTER}.png")
    ]
    usable = table["path"].str.contains("Größe|caf")
    assert (table["prediction"] != "").tolist() == usable.tolist()
    assert (table["problem"] == "").tolist() == usable.tolist()
    assert table["probability"].notna().tolist() == usable.tolist()
    assert table.loc[usable, "probability"].between(0, 1, inclusive="right").all()


def test_command_without_a_usable_image_fails_with_one_line(exported, tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    done = run_predict(exported.model, tmp_path / "notes.txt", "--output", tmp_path / "predictions.csv")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: none of the files is a usable image; ")
    assert "Traceback" not in done.stderr


def test_command_has_a_help_text():
    done = run_predict("--help")
    assert done.returncode == 0
    assert "Classify images with a model that ENTR exported." in done.stdout
    for option in ("MODEL_DIR", "IMAGES", "--output", "--batch-size", "--device"):
        assert option in done.stdout


def test_directory_without_a_model_is_one_clear_error(tmp_path):
    with pytest.raises(EntrError, match=r"is not the directory of an exported model \(.*\); give results/models"):
        Classifier.open(tmp_path)


def test_gpu_that_onnx_runtime_cannot_use_is_a_clear_error(exported, monkeypatch):
    """onnxruntime-gpu lists the CUDA provider even on a machine without a GPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(EntrError, match=r"--device cuda: ONNX Runtime cannot use a GPU here"):
        Classifier.open(exported.model, device="cuda")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every directory")
def test_unreadable_directory_is_named(tmp_path):
    (tmp_path / "private" / "inner").mkdir(parents=True)
    (tmp_path / "private").chmod(0)
    for path in (tmp_path / "private", tmp_path / "private" / "inner"):
        with pytest.raises(EntrError, match=rf"{path.name} cannot be read \(.*\); change its permissions"):
            find_images([path])


def test_missing_image_and_empty_directory_are_clear_errors(tmp_path):
    with pytest.raises(EntrError, match="absent does not exist; correct the path"):
        find_images([tmp_path / "absent"])
    with pytest.raises(EntrError, match="there are no files in "):
        find_images([tmp_path])


def link_distributions(names, folder):
    """Link installed distributions, and those that they require, into a folder; return their names."""
    linked, pending = set(), set(names)
    while pending:
        name = pending.pop()
        linked.add(name)
        found = distribution(name)
        for top in {file.parts[0] for file in found.files if file.parts[0] not in {"..", "__pycache__"}}:
            (folder / top).symlink_to(found.locate_file(top))
        required = [line for line in found.requires or () if "extra ==" not in line]
        pending |= {re.split(r"[^\w.-]", line)[0] for line in required} - linked
    return linked


@pytest.fixture(scope="module")
def environment_without_torch(tmp_path_factory):
    """Python of a new virtual environment with NumPy, Pillow and ONNX Runtime."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    linked = link_distributions(["numpy", "pillow", "onnxruntime"], site_packages)
    assert linked.isdisjoint({"torch", "torchvision", "fastai", "pandas"})
    return folder / "bin" / "python"


def test_model_directory_predicts_in_an_environment_without_torch(
    exported, originals, environment_without_torch, tmp_path
):
    python = environment_without_torch
    images = min(path for path in originals.iterdir() if path.is_dir())
    without_torch = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    assert without_torch.returncode == 1
    command = [python, exported.model / "predict.pyz", images, "--output", tmp_path / "predictions.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    predictions = json.loads((tmp_path / "predictions.json").read_text())
    expected = list(Classifier.open(exported.model).predict(find_images([images]), batch_size=64))
    assert [one["prediction"] for one in predictions] == [one.prediction for one in expected]
    for one in predictions:
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert one["probabilities"][one["prediction"]] == one["probability"]


def test_missing_package_is_named_with_its_remedy(exported, tmp_path):
    venv.create(tmp_path / "empty", symlinks=True)
    command = [tmp_path / "empty/bin/python", exported.model / "predict.pyz", "image.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("predict.pyz needs the package ")
    assert "pip install numpy onnxruntime pillow" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("method", ["crop", "squish", "pad"])
@pytest.mark.parametrize("extent", [(64, 48), (47, 64), (40, 40), (64, 17)])
def test_preprocessing_equals_that_of_the_training(exported, method, extent):
    size = 40
    array = np.random.default_rng(0).integers(0, 256, (*extent, 3), np.uint8)
    packed = PackedImages(
        images=torch.from_numpy(array)[None],
        extents=np.array([extent]),
        classes=np.zeros(1, np.int64),
        validation=np.ones(1, np.bool_),
        names=("",),
        labels=("",),
    )
    resized = resize_images(packed, size, method, torch.device("cpu"))
    crops = CropDataset(resized, np.arange(1), augmented=False)
    ((expected, _),) = make_loader(crops, 1, Augmentation(), statistics=((0.5,) * 3, (0.25,) * 3))
    settings = {"size": size, "resize_method": method, "mean": [0.5] * 3, "std": [0.25] * 3}
    classifier = replace(Classifier.open(exported.model), preprocessing=settings)
    # Pillow and torch round differently, by one level of 255
    np.testing.assert_allclose(classifier.prepare(Image.fromarray(array)), expected[0].numpy(), atol=1.01 / 255 / 0.25)


def test_gpu_without_support_for_it_is_one_clear_error(exported):
    with pytest.raises(EntrError, match="does not support CUDA; install onnxruntime-gpu"):
        Classifier.open(exported.model, "cuda")


def test_file_that_cannot_be_written_is_one_clear_error(exported, originals, tmp_path):
    (tmp_path / "file").touch()
    done = run_predict(exported.model, min(originals.rglob("*.*")), "--output", tmp_path / "file" / "predictions.csv")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "choose another --output" in done.stderr
