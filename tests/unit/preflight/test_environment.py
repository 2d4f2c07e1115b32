import logging

import pandas as pd
import pytest
from configurations import FILES, merged

from entr.config.validation import validate_config
from entr.jobs.errors import EntrError
from entr.jobs.tables import write_table
from entr.preflight import environment

CELLS = [f"results/cells/micrographs/resnet18/gradual/seed{seed}/metrics.json" for seed in range(2)]


@pytest.fixture
def check(tmp_path, monkeypatch, caplog):
    """Function that checks this machine for a grid, and returns the table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger("entr"), "propagate", True)
    caplog.set_level(logging.INFO, "entr")
    (tmp_path / "results").mkdir()

    def run(partitions=None, **changes):
        caplog.clear()
        changes = {"onnxruntime_web": {"path": "/local"}} | changes
        settings = validate_config(merged(*FILES, **changes)).model_dump(mode="json")
        options = {"cores": 1, "partitions": partitions or {}, "expected_hours": None, "folder": "results"}
        environment.check_environment(settings, metrics=CELLS, **options)
        return caplog.text

    return run


def test_machine_that_suits_the_grid_has_no_problem(check):
    table = check(training={"device": "cpu"})
    assert "problem" not in table
    assert "0 of 2 cells finished" in table
    assert "not used, because training.device is cpu" in table
    assert "a cell takes at least" in table
    assert "`snakemake estimate_runtime`" in table


def test_problems_are_named_in_one_error_after_the_whole_table(check, caplog):
    datasets = {"absent": {"source": "folder", "path": "nowhere"}}
    with pytest.raises(EntrError, match=r"^this machine cannot run the grid: .* for images, SLURM$"):
        check({"train": "no-such-partition"}, grid={"datasets": ["absent"]}, datasets=datasets)
    assert "nowhere does not exist" in caplog.text
    assert "remedy: correct the path" in caplog.text


def test_run_on_a_cluster_does_not_depend_on_the_gpu_of_the_head_node(check, monkeypatch):
    monkeypatch.setattr(environment.slurm, "list_partitions", lambda: {"gpu": "gpu:a100:4"})
    table = check({"train": "gpu"}, training={"device": "cuda"})
    assert "GPU  " not in table
    assert "partitions gpu" in table


def test_model_that_cannot_be_built_is_a_problem(check, caplog):
    with pytest.raises(EntrError, match="for grid"):
        check(grid={"models": ["vit_b_16"]})
    assert "vit_b_16 cannot be used" in caplog.text


def test_time_is_that_of_an_estimate_of_the_pending_cells_or_of_the_budget(tmp_path):
    estimate = tmp_path / "runtime_estimate.csv"
    cells = {
        "dataset": "micrographs",
        "model": "resnet18",
        "regime": "gradual",
        "seed": [0, 1],
        "seconds": [60.0, 180.0],
    }
    settings, changed = (validate_config(merged(*FILES, training={"learning_rate": rate})) for rate in (0.1, 0.2))
    table = pd.DataFrame(cells | {"plan": settings.plan("micrographs", "gradual").digest})

    def detail(**options):
        return environment.check_time(**{"settings": settings, "pending": CELLS, "estimate": estimate} | options).detail

    assert detail().startswith("not measured")
    write_table(table[:1], estimate)
    assert detail().startswith("not measured")
    write_table(table, estimate)
    assert detail().startswith("about 0:04:00 h on one device")
    assert detail(settings=changed).startswith("not measured")
    assert detail(expected_hours=2) == "about 2 h, according to the budget"
    assert detail(pending=[]) == "all cells are finished"
