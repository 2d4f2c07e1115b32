import json
import os
import subprocess
from datetime import UTC, datetime

import pandas as pd
import pytest

from entr.jobs.errors import EntrError
from entr.jobs.tables import write_table
from entr.report.provenance import MACHINE, current_commit, read_provenance, write_provenance

CITATION = "version: 1.2.3\n"
START, WALL = 1_800_000_000, 100


def git(folder, *arguments):
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", folder, *author, *arguments], check=True, capture_output=True)


@pytest.fixture
def results(tmp_path):
    """Results with two cells, of which the first starts at START and the last result is 500 s later."""
    folder = tmp_path / "results"
    metrics = [folder / f"cells/ucm/resnet18/gradual/seed{seed}/metrics.json" for seed in range(2)]
    for seed, path in enumerate(metrics):
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        os.utime(path, (START + WALL * (seed + 1), START + WALL * (seed + 1)))
    cells = [
        {"dataset": "ucm", "model": "resnet18", "regime": "gradual", "seed": seed, "seconds_wall": WALL}
        | dict.fromkeys(MACHINE, "x")
        for seed in range(2)
    ]
    write_table(pd.DataFrame(cells), folder / "tables" / "cells.csv")
    os.utime(folder / "tables" / "cells.csv", (START, START))
    (folder / "report.html").write_text("")
    os.utime(folder / "report.html", (START + 500, START + 500))
    return folder


def record(results, repository, **changes):
    arguments = {
        "metrics": sorted(results.glob("cells/*/*/*/*/metrics.json")),
        "configuration": {"grid": {"seeds": [0, 1]}},
        "code": {"train": "0123"},
        "citation": CITATION,
        "destination": results / "provenance.json",
        "repository": repository,
    }
    write_provenance(results / "tables" / "cells.csv", [results / "report.html"], **arguments | changes)
    return read_provenance(results)


def test_provenance_contains_configuration_code_machine_and_packages(results, tmp_path):
    provenance = record(results, tmp_path)
    assert provenance.version == "1.2.3"
    assert provenance.configuration == {"grid": {"seeds": [0, 1]}}
    assert provenance.code == {"train": "0123"}
    assert provenance.machines == (dict.fromkeys(MACHINE, "x"),)
    assert provenance.packages["pandas"] == pd.__version__


def test_run_lasts_from_the_start_of_the_first_cell_to_the_last_result(results, tmp_path):
    provenance = record(results, tmp_path)
    assert provenance.started == datetime.fromtimestamp(START, UTC)
    assert provenance.finished == datetime.fromtimestamp(START + 500, UTC)


def test_start_of_archived_cells_is_unknown(results, tmp_path):
    provenance = record(results, tmp_path, metrics=None)
    assert provenance.started is None
    assert provenance.finished == datetime.fromtimestamp(START + 500, UTC)


def test_commit_and_changes_of_tracked_files_are_recorded(results, tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init")
    assert current_commit(repository) is None
    (repository / "Snakefile").write_text("")
    git(repository, "add", "Snakefile")
    git(repository, "commit", "-m", "first")
    (repository / "results").mkdir()
    (repository / "results" / "untracked").write_text("")
    assert not record(results, repository).commit.modified
    (repository / "Snakefile").write_text("# changed")
    commit = record(results, repository).commit
    assert commit.modified
    assert len(commit.id) == 40


def test_repository_around_the_workflow_is_not_recorded(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "file").write_text("")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    workflow = tmp_path / "copied workflow"
    workflow.mkdir()
    assert current_commit(tmp_path) is not None
    assert current_commit(workflow) is None


def test_commit_is_unknown_without_git(tmp_path, monkeypatch):
    git(tmp_path, "init")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert current_commit(tmp_path) is None


def test_run_of_an_earlier_version_has_no_provenance(tmp_path):
    assert read_provenance(tmp_path) is None


def test_damaged_provenance_is_reported(results, tmp_path):
    record(results, tmp_path)
    path = results / "provenance.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(EntrError, match=r"provenance.json is damaged .*; delete it and run again"):
        read_provenance(results)


def test_keys_of_a_later_version_are_ignored(results, tmp_path):
    provenance = record(results, tmp_path)
    path = results / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"new": 1}))
    assert read_provenance(results) == provenance
