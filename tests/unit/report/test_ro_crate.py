"""The archive is read back by the package rocrate; rocrate-validator checks it too where it is installed.

The validator (package roc-validator) is not a development dependency: it needs rich 13, the other tools rich 15.
"""

import math
import os
import shutil
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from configurations import FILES, merged
from conftest import ROOT
from factories import flip_bit, write_metrics_file
from rocrate.rocrate import ROCrate

from entr.config.validation import validate_config
from entr.jobs.errors import EntrError
from entr.report.provenance import Commit, Provenance, read_provenance
from entr.report.ro_crate import PROFILES, write_crate

CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
STATEMENTS = {"author": "Ada Lovelace", "orcid": "https://orcid.org/0000-0002-1825-0097", "licence": "CC-BY-4.0"}
RESULTS = [
    "report.html",
    "verdict.md",
    "answer.txt",
    "tables/cells.csv",
    "tables/metrics.csv",
    "figures/effects.svg",
    "models/photos/model.onnx",
    "data/photos/manifest.csv",
    "cells/photos/resnet18/gradual/seed0/metrics.json",
    "cells/photos/resnet18/gradual/seed0/predictions.csv",
]
CELL = Path("results/cells/photos/resnet18/gradual/seed0")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The working directory with a small folder of results; the images in it must not be archived."""
    monkeypatch.chdir(tmp_path)
    for name in [*RESULTS, "data/photos/images/a/1.png"]:
        path = Path("results", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    write_metrics_file(CELL)
    photos = tmp_path / "home" / "photos"
    photos.mkdir(parents=True)
    settings = validate_config(merged(*FILES, images={"folder": str(photos)}))
    provenance = Provenance(
        version="0.2.0",
        commit=Commit(id="a" * 40, modified=True),
        started=datetime(2026, 1, 1, 8, tzinfo=UTC),
        finished=datetime(2026, 1, 1, 9, tzinfo=UTC),
        configuration=settings.without_local_paths(),
        code={"train": "0" * 16},
        machines=({"device": "AMD EPYC", "threads": "2"},),
        platform="Linux",
        packages={"snakemake": "9.27.1", "torch": "2.13.0"},
    )
    Path("results/provenance.json").write_text(provenance.model_dump_json())
    return [Path("results", name) for name in RESULTS if not name.startswith("models/")] + [Path("results/models")]


def crate_of(results, **statements):
    write_crate(
        "results/provenance.json",
        results,
        citation=CITATION,
        statements=STATEMENTS | statements,
        destination="results/entr.crate.zip",
    )
    return ROCrate("results/entr.crate.zip")


def test_archive_declares_its_profiles(results):
    crate = crate_of(results)
    assert {profile.id for profile in crate.root_dataset["conformsTo"]} == set(PROFILES)
    described = {one if isinstance(one, str) else one["@id"] for one in crate.metadata["conformsTo"]}
    assert described == {"https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"}


def test_workflow_and_its_software_are_described(results):
    workflow = crate_of(results).mainEntity
    assert workflow.id == "Snakefile"
    assert set(workflow.type) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert workflow["version"] == f"0.2.0 (commit {'a' * 40}, modified)"
    assert (workflow["programmingLanguage"]["name"], workflow["programmingLanguage"]["version"]) == (
        "Snakemake",
        "9.27.1",
    )
    assert {(one["name"], one["version"]) for one in workflow["softwareRequirements"]} == {
        ("snakemake", "9.27.1"),
        ("torch", "2.13.0"),
    }
    parts = {part.id for part in workflow["hasPart"]}
    assert {"workflow/rules/train.smk", "workflow/scripts/train.py", "requirements.lock", "LICENSE"} <= parts


def test_run_has_times_agent_inputs_and_outputs(results):
    crate = crate_of(results)
    (action,) = crate.get_by_type("CreateAction")
    assert action["instrument"] is crate.mainEntity
    assert (action["startTime"], action["endTime"]) == ("2026-01-01T08:00:00+00:00", "2026-01-01T09:00:00+00:00")
    assert action["agent"].id == STATEMENTS["orcid"]
    assert "AMD EPYC" in action["description"]
    outputs = {"report.html", "verdict.md", "answer.txt", "provenance.json", "tables/", "figures/", "cells/", "models/"}
    assert {entity.id for entity in action["result"]} == {f"results/{name}" for name in outputs}
    inputs = {"config/datasets.yaml", "config/config.yaml", "results/data/photos/"}
    assert {entity.id for entity in action["object"]} == inputs
    for parameter in [*crate.mainEntity["input"], *crate.mainEntity["output"]]:
        assert parameter["workExample"]


def test_archived_cells_are_counted(results):
    configured = read_provenance("results").configuration["grid"]
    number = math.prod(map(len, configured.values()))
    assert crate_of(results).root_dataset["description"].count(f"; 1 of {number} cells. ") == 1


def test_run_with_cells_of_another_archive_states_only_its_end(results):
    provenance = read_provenance("results").model_copy(update={"started": None})
    Path("results/provenance.json").write_text(provenance.model_dump_json())
    (action,) = crate_of(results).get_by_type("CreateAction")
    assert action.get("startTime") is None
    assert action["endTime"] == "2026-01-01T09:00:00+00:00"


def test_licences_of_results_and_workflow_are_stated_separately(results):
    crate = crate_of(results)
    assert crate.root_dataset["license"].id == "https://spdx.org/licenses/CC-BY-4.0"
    assert crate.mainEntity["license"].id == "https://spdx.org/licenses/MIT"


def test_archive_names_nobody_unless_configured(results, caplog):
    with caplog.at_level("INFO", "entr"):
        crate = crate_of(results, author="", orcid=None)
    assert crate.get_by_type("Person") == []
    assert "agent" not in crate.get_by_type("CreateAction")[0].properties()
    assert "to name them, set crate.author and crate.orcid" in caplog.text


def test_archive_contains_exactly_the_described_files_and_no_images(results):
    crate = crate_of(results)
    with zipfile.ZipFile("results/entr.crate.zip") as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
    described = {entity.id for entity in crate.data_entities}
    assert names == described | {"ro-crate-metadata.json", "ro-crate-preview.html"}
    assert {f"results/{name}" for name in RESULTS} <= names
    assert not [name for name in names if name.endswith(".png")]


def test_archive_contains_no_local_path(results, tmp_path):
    crate_of(results)
    with zipfile.ZipFile("results/entr.crate.zip") as archive:
        texts = {name: archive.read(name) for name in archive.namelist()}
    secrets = [str(tmp_path).encode(), str(ROOT).encode(), str(Path.home()).encode() + b"/"]
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []


def test_configuration_in_the_archive_is_that_of_the_run(results, tmp_path):
    crate_of(results)
    with zipfile.ZipFile("results/entr.crate.zip") as archive:
        archive.extractall("archive")
    values = {}
    for name in ("datasets", "config"):
        values |= yaml.safe_load(Path("archive", "config", f"{name}.yaml").read_text(encoding="utf-8"))
    repeated = validate_config(values)
    original = validate_config(merged(*FILES, images={"folder": str(tmp_path / "home" / "photos")}))
    assert repeated.plans("photos") == original.plans("photos")
    assert repeated.grid == original.grid


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv"])
def test_damaged_file_of_a_cell_is_named_and_not_archived(results, name):
    flip_bit(CELL / name, position=20)
    with pytest.raises(EntrError, match=rf"^{CELL / name} is damaged \("):
        crate_of(results)
    assert not Path("results/entr.crate.zip").exists()


def test_unfinished_run_is_not_archived(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EntrError, match=r"results/provenance.json does not exist; run the workflow first"):
        crate_of([])


@pytest.mark.skipif(
    not (shutil.which("rocrate-validator") and os.environ.get("ROCRATE_VALIDATOR")),
    reason="needs rocrate-validator on the PATH, internet access, and ROCRATE_VALIDATOR=1",
)
def test_archive_is_a_valid_workflow_run_crate(results):
    crate_of(results)
    command = ["rocrate-validator", "-y", "validate", "-p", "workflow-run-crate-0.5", "-v", "--no-paging"]
    done = subprocess.run([*command, "results/entr.crate.zip"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
