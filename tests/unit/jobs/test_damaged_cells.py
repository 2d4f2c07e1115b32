"""Files of finished cells that were truncated or edited."""

import pytest
from factories import INFERENCE, TRAINED, metrics

from entr.analysis import aggregation, histories
from entr.jobs.errors import EntrError
from entr.jobs.tables import read_table, write_table

CELL = "results/cells/ucm/resnet18/gradual/seed0"


@pytest.fixture
def cell(tmp_path, monkeypatch):
    """The directory of a finished cell, in the working directory of Snakemake."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / CELL
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(metrics("gradual", 0).model_dump_json(indent=2))
    (folder / "history.csv").write_text("epoch,accuracy\n1,0.5\n2,0.25\n")
    (folder / "predictions.csv").write_text(
        "stage,resolution,size,image,label,predicted,probability_of_label,probability_of_predicted\n"
        "total-tta,phase,250,a.png,x,x,0.9,0.9\n"
    )
    write_table(INFERENCE, "resnet18.csv")
    write_table(TRAINED, "trained.csv")
    return folder


def aggregate_metrics():
    outputs = {name: f"{name}.csv" for name in ("metrics", "cells", "summary")}
    inputs = {"metrics": [f"{CELL}/metrics.json"], "inference": ["resnet18.csv"], "trained": ["trained.csv"]}
    aggregation.write_metrics(**inputs, control="no-increase", outputs=outputs)


def aggregate_histories():
    outputs = {name: f"{name}.csv" for name in ("history", "steps", "lr_find", "confusions")}
    history = [f"{CELL}/history.csv"]
    inputs = {"history": history, "steps": history, "lr_find": history, "predictions": [f"{CELL}/predictions.csv"]}
    histories.write_histories(**inputs, outputs=outputs)


@pytest.mark.usefixtures("cell")
def test_undamaged_files_are_aggregated():
    aggregate_metrics()
    aggregate_histories()
    assert set(read_table("metrics.csv")["regime"]) == {"gradual"}
    confusion = read_table("confusions.csv").iloc[0]
    assert confusion[["label", "predicted", "images", "example"]].tolist() == ["x", "x", 1, "a.png"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("metrics.json", '{"dataset": "ucm", "mod', "EOF while parsing"),
        ("metrics.json", "", "EOF while parsing"),
        ("metrics.json", '{"dataset": "ucm"}', "Field required"),
        ("history.csv", "epoch,accuracy\n1,0.5\n2,0.2", "its last line is truncated"),
        ("history.csv", "", "it is empty"),
        ("predictions.csv", "stage,resolution\n1,2,3\n4\n5,6,7,8\n", "Error tokenizing"),
    ],
)
def test_damaged_file_of_a_cell_is_an_error_with_the_remedy(cell, name, content, problem):
    (cell / name).write_text(content)
    with pytest.raises(EntrError) as raised:
        aggregate_metrics()
        aggregate_histories()
    message = str(raised.value)
    assert message.startswith(f"{CELL}/{name} is damaged (")
    assert problem in message
    assert f"delete the directory {CELL} and run again: only that cell is retrained" in message


def test_damaged_table_of_the_benchmark_is_deleted_alone(cell):
    (cell.parents[5] / "resnet18.csv").write_text("model,si")
    with pytest.raises(EntrError) as raised:
        aggregate_metrics()
    assert str(raised.value) == "resnet18.csv is damaged (its last line is truncated); delete it and run again"
