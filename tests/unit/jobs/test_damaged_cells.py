"""Files of finished cells that were truncated or edited."""

import pytest
from factories import INFERENCE, TRAINED, flip_bit, metrics, write_metrics_file

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
    (folder / "history.csv").write_text("epoch,accuracy\n1,0.5\n2,0.25\n")
    (folder / "predictions.csv").write_text(
        "stage,resolution,size,image,label,predicted,probability_of_label,probability_of_predicted\n"
        "total-tta,phase,250,a.png,x,x,0.9,0.9\n"
    )
    (folder / "steps.csv").write_text("step,loss\n1,2.0\n")
    (folder / "lr_find.csv").write_text("step,loss\n0,2.0\n")
    write_metrics_file(folder, metrics("gradual", 0))
    write_table(INFERENCE, "resnet18.csv")
    write_table(TRAINED, "trained.csv")
    return folder


def aggregate_metrics():
    outputs = {name: f"{name}.csv" for name in ("metrics", "cells", "summary")}
    inputs = {"metrics": [f"{CELL}/metrics.json"], "inference": ["resnet18.csv"], "trained": ["trained.csv"]}
    aggregation.write_metrics(**inputs, control="no-increase", outputs=outputs)


def aggregate_histories():
    outputs = {name: f"{name}.csv" for name in ("history", "steps", "lr_find", "confusions")}
    inputs = {name: [f"{CELL}/{name}.csv"] for name in ("history", "steps", "lr_find", "predictions")}
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
        ("metrics.json", '{"dataset": "ucm", "mod', "Unterminated string"),
        ("metrics.json", "", "Expecting value"),
        ("metrics.json", '{"dataset": "ucm"}', "model: Field required"),
        ("history.csv", "epoch,accuracy\n1,0.5\n2,0.2", "its content does not match the checksum in metrics.json"),
        ("history.csv", "", "its content does not match the checksum in metrics.json"),
    ],
)
def test_damaged_file_of_a_cell_is_an_error_with_the_remedy(cell, name, content, problem):
    (cell / name).write_text(content)
    assert problem in message_of_damage(name)


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "steps.csv", "lr_find.csv", "predictions.csv"])
def test_flipped_bit_is_found_before_the_tables_are_made(cell, name):
    restore = flip_bit(cell / name, position=len((cell / name).read_bytes()) // 2)
    # metrics.json may no longer be valid JSON, so the reason differs
    assert f"{name} is damaged (" in message_of_damage(name)
    assert not list(cell.parents[5].glob("history.csv"))
    restore()
    aggregate_metrics()
    aggregate_histories()


def message_of_damage(name):
    """Return the message of an error that names a file of the cell."""
    with pytest.raises(EntrError) as raised:
        aggregate_metrics()
        aggregate_histories()
    message = str(raised.value)
    assert message.startswith(f"{CELL}/{name} is damaged (")
    assert f"delete the directory {CELL} and run again: only that cell is retrained" in message
    return message


def test_damaged_table_of_the_benchmark_is_deleted_alone(cell):
    (cell.parents[5] / "resnet18.csv").write_text("model,si")
    with pytest.raises(EntrError) as raised:
        aggregate_metrics()
    assert str(raised.value) == "resnet18.csv is damaged (its last line is truncated); delete it and run again"
