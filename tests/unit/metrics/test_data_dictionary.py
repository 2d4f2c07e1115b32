"""Tables of real analyses have the columns of the data dictionary; tests/workflow compares all of a whole run."""

import pandas as pd
import pytest
import simulated
from data_dictionary import problems_of, tables_in, undocumented_tables
from factories import INFERENCE, TRAINED, metrics, with_final_stage

from entr.analysis.aggregation import write_metrics
from entr.analysis.paired_effects import write_effects
from entr.analysis.pareto_front import write_fronts
from entr.analysis.time_to_accuracy import write_times_to_accuracy
from entr.data.split import split_dataset
from entr.data.summary import summarise_datasets
from entr.jobs.paths import CELL, cell_of
from entr.jobs.tables import TEXT, write_table
from entr.metrics.data_dictionary import TABLES, documented_columns
from entr.report.recommendation import write_recommendation
from entr.report.verdict import write_verdict

DESIGN = {"datasets": ("ucm",), "models": ("resnet18",), "regimes": ("no-increase", "gradual"), "seeds": 2}


@pytest.fixture(scope="module")
def results(dataset, tmp_path_factory):
    """The results of an analysis of four cells with made-up metrics, and of a real dataset."""
    directory = tmp_path_factory.mktemp("data_dictionary") / "results"
    tables, data = directory / "tables", directory / "data" / "micrographs"
    data.mkdir(parents=True)
    for name in ("manifest", "rejected", "duplicates"):
        (data / f"{name}.csv").write_bytes((dataset / f"{name}.csv").read_bytes())
    split_dataset(data / "manifest.csv", data / "splits" / "seed0.csv", seed=0, folds=5)
    entry = {"title": "", "traits": {"image category": "microscopic"}, "images": None, "classes": 7, "source": "folder"}
    entry |= dict.fromkeys(("licence", "citation", "note"), "")
    of_dataset = {name: [data / f"{name}.csv"] for name in ("manifest", "rejected", "duplicates")}
    of_dataset["manifests"] = of_dataset.pop("manifest")
    summarise_datasets({"micrographs": entry}, **of_dataset, destination=tables / "datasets.csv")

    cells = []
    for seed in range(2):
        for regime in DESIGN["regimes"]:
            cell = {"dataset": "ucm", "model": "resnet18", "regime": regime, "seed": seed}
            path = directory.parent / CELL.format(**cell) / "metrics.json"
            path.parent.mkdir(parents=True)
            path.write_text(with_final_stage(metrics(regime, seed, accuracy=0.7 + 0.01 * seed)).to_json())
            cells.append(path)
    write_table(INFERENCE, directory.parent / "inference.csv")
    write_table(TRAINED, directory.parent / "trained.csv")
    names = ("metrics", "summary", "cells", "pairs", "effects", "pareto_front", "answer", "claims")
    made = {name: tables / f"{name}.csv" for name in names}
    write_metrics(
        cells,
        [directory.parent / "inference.csv"],
        [directory.parent / "trained.csv"],
        control="no-increase",
        outputs={name: made[name] for name in ("metrics", "summary", "cells")},
    )
    write_effects(made["metrics"], "no-increase", 10, pairs=made["pairs"], effects=made["effects"])
    write_fronts(made["metrics"], "no-increase", table=made["pareto_front"])
    inputs = {name: made[name] for name in ("metrics", "pairs", "effects", "cells")}
    outputs = {name: made[name] for name in ("answer", "claims")}
    outputs |= {"verdict": directory / "verdict.md", "text": directory / "answer.txt"}
    write_verdict(**inputs, design=simulated.design(**DESIGN), outputs=outputs)
    write_recommendation(
        metrics=made["metrics"],
        summary=made["summary"],
        fronts=made["pareto_front"],
        design=simulated.design(**DESIGN),
        limits={"max_seconds": None, "min_accuracy": None},
        outputs={"table": tables / "recommendation.csv", "text": directory / "recommendation.md"},
    )
    history = pd.DataFrame(
        [
            {**cell_of(path), "epoch": epoch, "accuracy": 0.1 * epoch, "training_seconds": 10.0}
            for path in cells
            for epoch in (1, 2)
        ]
    )
    write_table(history, directory.parent / "history.csv")
    write_times_to_accuracy(
        directory.parent / "history.csv",
        made["cells"],
        "no-increase",
        10,
        times=tables / "time_to_accuracy.csv",
        effects=tables / "time_to_accuracy_effects.csv",
    )
    return directory


TABLE_NAMES = [
    *("metrics", "summary", "cells", "pairs", "effects", "pareto_front", "claims", "recommendation", "datasets"),
    *("time_to_accuracy", "time_to_accuracy_effects"),
]
DATA_NAMES = ["manifest.csv", "rejected.csv", "duplicates.csv", "splits/seed<seed>.csv"]


@pytest.mark.parametrize(
    "key", [*(f"tables/{name}.csv" for name in TABLE_NAMES), *(f"data/<dataset>/{name}" for name in DATA_NAMES)]
)
def test_table_has_the_documented_columns_types_and_units(results, key):
    (path,) = tables_in(results)[key]
    assert problems_of(key, path) == []


def test_every_table_of_the_analysis_is_documented(results):
    assert undocumented_tables(results) == []


@pytest.mark.parametrize(
    "name",
    [
        *("metrics", "summary", "pairs", "effects", "history", "steps", "lr_find", "confusions"),
        *("pareto_front", "time_to_accuracy", "time_to_accuracy_effects"),
    ],
)
def test_simulated_table_has_the_documented_columns(name):
    columns = simulated.grid()[name].columns
    assert set(columns) == set(documented_columns(f"tables/{name}.csv"))


def test_columns_of_text_are_read_as_text():
    columns = [column for table in TABLES.values() for column in table.columns]
    assert {column.name for column in columns if column.type == "text"} == TEXT
    assert {column.name for column in columns if column.type != "text"} & TEXT == set()


def test_every_column_has_a_meaning():
    columns = [column for table in TABLES.values() for column in table.columns]
    assert [column.name for column in columns if not column.meaning.endswith(".")] == []
    assert [table.rows for table in TABLES.values() if not table.rows.startswith("One row per ")] == []
