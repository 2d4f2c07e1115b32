import json

import pandas as pd
import pytest

from entr.deploy.export import export_model
from entr.deploy.held_out_accuracy import HeldOutAccuracy, measure_held_out_accuracy
from entr.jobs.tables import read_table, write_table


@pytest.fixture(scope="module")
def split(dataset, tmp_path_factory):
    """The split of the exported cell with its validation images as test images."""
    path = tmp_path_factory.mktemp("split") / "split.csv"
    table = read_table(dataset / "split.csv")
    write_table(table.assign(test=table["validation"], validation=False), path)
    return path


def test_accuracy_is_that_of_the_predictions_without_test_time_augmentation(exported, dataset, split):
    predictions = read_table(exported.cell / "predictions.csv")
    rows = predictions[(predictions["stage"] == "total") & (predictions["resolution"] == "phase")]
    measured = measure_held_out_accuracy(exported.model, dataset / "images", split)
    assert measured.images == len(rows)
    assert measured.correct == (rows["label"] == rows["predicted"]).sum()
    assert measured.low < measured.accuracy < measured.high


def test_export_states_the_accuracy_on_test_images(exported, dataset, split, tmp_path):
    write_table(pd.DataFrame([exported.choice]), tmp_path / "recommendation.csv")
    models = [exported.cell / "model.safetensors"]
    export_model(
        *(tmp_path / "recommendation.csv", "micrographs", models, exported.card, tmp_path / "model"),
        images=dataset / "images",
        split=split,
    )
    accuracy = HeldOutAccuracy(**json.loads((tmp_path / "model" / "test.json").read_text()))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert f"**Test accuracy: {accuracy}**" in card
    assert "The validation accuracy of this replicate is 0.0 points higher." in card


def test_accuracy_in_words():
    assert str(HeldOutAccuracy(60, 51, 0.85, 0.7389, 0.919)) == "85.0 % [73.9 to 91.9] (51 of 60)"
