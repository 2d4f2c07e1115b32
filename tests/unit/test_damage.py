"""Files of finished cells that were cut or changed afterwards."""

import pytest
from test_tables import FINISHED, INFERENCE, metrics

from entr import records, tables
from entr.guards import EntrError

CELL = "results/cells/ucm/resnet18/gradual/seed0"


@pytest.fixture
def cell(tmp_path, monkeypatch):
    """A finished cell, and what is collected of it; from the folder that snakemake runs in."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / CELL
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(metrics("gradual", 0).model_dump_json(indent=2))
    (folder / "history.csv").write_text("epoch,accuracy\n1,0.5\n2,0.25\n")
    (folder / "predictions.csv").write_text(
        "stage,at,size,image,label,predicted,probability_of_label,probability_of_predicted\n"
        "total-tta,phase,250,a.png,x,x,0.9,0.9\n"
    )
    INFERENCE[0].to_csv("100px.csv", index=False)
    FINISHED.to_csv("finished.csv", index=False)
    return folder


def aggregate():
    outputs = {name: f"{name}.csv" for name in ("cells", "summary", "runs")}
    tables.write([f"{CELL}/metrics.json"], ["100px.csv"], ["finished.csv"], "no-increase", **outputs)


def collect():
    outputs = {name: f"{name}.csv" for name in ("history", "steps", "lr_find", "confusions")}
    history = [f"{CELL}/history.csv"]
    records.write(history, history, history, [f"{CELL}/predictions.csv"], tables=outputs)


def test_whole_files_are_collected(cell):
    aggregate()
    collect()
    assert (cell.parents[5] / "cells.csv").exists()
    assert (cell.parents[5] / "confusions.csv").read_text().splitlines()[1].endswith("x,x,1,a.png")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("metrics.json", '{"dataset": "ucm", "mod', "EOF while parsing"),
        ("metrics.json", "", "EOF while parsing"),
        ("metrics.json", '{"dataset": "ucm"}', "Field required"),
        ("history.csv", "epoch,accuracy\n1,0.5\n2,0.2", "its last line is cut"),
        ("history.csv", "", "No columns"),
        ("predictions.csv", "stage,at\n1,2,3\n4\n5,6,7,8\n", "Error tokenizing"),
    ],
)
def test_a_damaged_file_of_a_cell_is_named_with_what_to_do(cell, name, content, why):
    (cell / name).write_text(content)
    with pytest.raises(EntrError) as raised:
        aggregate()
        collect()
    message = str(raised.value)
    assert message.startswith(f"{CELL}/{name} is damaged (")
    assert why in message
    assert f"delete the folder {CELL} and run again: that cell alone is trained again" in message


def test_a_damaged_table_of_the_benchmark_is_to_be_deleted_alone(cell):
    (cell.parents[5] / "100px.csv").write_text("model,si")
    with pytest.raises(EntrError, match=r"^100px\.csv is damaged \(its last line is cut\); delete it and run again$"):
        aggregate()
