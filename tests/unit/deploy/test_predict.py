import os
import subprocess
import sys

import pandas as pd
import pytest
import torch

from entr.deploy.predict import Classifier, find_images
from entr.jobs.errors import EntrError
from entr.jobs.paths import SCRIPTS
from entr.jobs.tables import read_table


def run_predict(*arguments):
    """Run the command as a user does, and return the finished process."""
    command = [sys.executable, "-m", "entr.deploy.predict", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_predictions_agree_with_those_of_the_validation(exported, dataset, originals):
    predictions = read_table(exported.cell / "predictions.csv")
    validation = predictions[(predictions["stage"] == "total") & (predictions["resolution"] == "phase")]
    sources = read_table(dataset / "manifest.csv").set_index("image")["source"]
    classifier = Classifier.open(exported.model, torch.device("cpu"))
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
    done = run_predict(exported.model, images, "--output", tmp_path / "predictions.csv", "--batch-size", "2")
    assert done.returncode == 0, done.stderr
    assert "1 images classified, 2 files skipped" in done.stderr
    table = pd.read_csv(tmp_path / "predictions.csv", keep_default_na=False, na_values={"probability": [""]})
    assert list(table) == ["path", "prediction", "probability", "problem"]
    assert [path.rpartition("/")[2] for path in table["path"]] == ["notes.txt", "Größe 1.PNG", "truncated.png"]
    usable = table["path"].str.endswith(".PNG")
    assert (table["prediction"] != "").tolist() == usable.tolist()
    assert (table["problem"] == "").tolist() == usable.tolist()
    assert table["probability"].notna().tolist() == usable.tolist()
    assert 0 < table.loc[usable, "probability"].item() <= 1


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
        Classifier.open(tmp_path, torch.device("cpu"))


def test_missing_image_and_empty_directory_are_clear_errors(tmp_path):
    with pytest.raises(EntrError, match="absent does not exist; correct the path"):
        find_images([tmp_path / "absent"])
    with pytest.raises(EntrError, match="there are no files in "):
        find_images([tmp_path])
