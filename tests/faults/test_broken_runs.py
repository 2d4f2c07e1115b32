"""Failed runs on one machine: their messages, and that a rerun computes only missing results."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, run_snakemake

SMALLEST = ROOT / "tests" / "workflow" / "smallest.yaml"
CELLS = "results/cells/micrographs/resnet18"
NO_INCREASE, GRADUAL = (f"{CELLS}/{regime}/seed0/metrics.json" for regime in ("no-increase", "gradual"))
PLANNED = re.compile(r"^([a-z_]+) +(\d+)$", re.MULTILINE)


class Run:
    """A directory of results, with the configuration of the smallest grid in its own file."""

    def __init__(self, directory):
        self.directory = directory
        self.config = directory / "mine.yaml"

    def words(self, *options):
        return (*options, "--cores", "1", "--resources", "gpu=1", "--configfile", self.config)

    def run(self, *options, check=True):
        return run_snakemake(ROOT / "Snakefile", self.directory, *self.words(*options), check=check)

    def start(self, *options):
        program = shutil.which("snakemake", path=Path(sys.executable).parent)
        command = [program, "--snakefile", ROOT / "Snakefile", "--directory", self.directory, *self.words(*options)]
        environment = os.environ | {"XDG_CACHE_HOME": str(self.directory / ".cache")}
        return subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )

    def plan(self, *targets):
        found = PLANNED.findall(self.run(*targets, "--dry-run").output)
        return {rule: int(count) for rule, count in found if rule != "total"}

    def log(self, regime):
        path = self.directory / f"results/logs/train/micrographs/resnet18/{regime}/seed0.log"
        return path.read_text() if path.exists() else ""

    def metrics(self, path):
        return json.loads((self.directory / path).read_text())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A run whose data is prepared."""
    made = Run(tmp_path_factory.mktemp("prepared"))
    shutil.copy(SMALLEST, made.config)
    made.run("results/data/micrographs/pixels.npy", "results/data/micrographs/splits/seed0.csv")
    return made


@pytest.fixture
def run(prepared, tmp_path):
    """A copy of the prepared run, with its modification times and Snakemake's metadata."""
    shutil.copytree(prepared.directory, tmp_path / "run", symlinks=True, ignore=shutil.ignore_patterns("locks"))
    return Run(tmp_path / "run")


@pytest.fixture
def disk(run, tmp_path):
    """Move the results to a small disk of their own; returns a function that remounts it with other options."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    results = run.directory / "results"
    kept = tmp_path / "kept"
    results.rename(kept)
    results.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", results]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here, for example in a container")
    try:
        shutil.copytree(kept, results, dirs_exist_ok=True, symlinks=True)
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", results], check=True)
    finally:
        subprocess.run(["umount", results], check=True)


def test_full_disk_names_the_file_and_the_cell_is_resumed(run, disk):
    # a model and a checkpoint take 45 MB each; a new checkpoint is written before the old one is removed
    disk("size=80m")
    done = run.run(GRADUAL, check=False)
    assert done.returncode != 0
    assert "train micrographs resnet18 gradual seed0" in done.output
    assert re.search(
        r"No space left on device: '\S+seed0\.npz'; free some space on this disk and run again", done.output
    )
    cell = (run.directory / GRADUAL).parent
    assert not cell.exists() or not any(cell.iterdir())

    disk("size=300m")
    run.run(GRADUAL)
    assert run.metrics(GRADUAL)["resumed"] == 1


def test_read_only_results_directory_is_an_error_that_damages_nothing(run, disk):
    before = sorted(path for path in run.directory.rglob("results/**/*") if path.is_file())
    disk("ro")
    done = run.run(GRADUAL, check=False)
    assert done.returncode != 0
    assert "Read-only file system" in done.output
    assert "results/" in done.output
    disk("rw")
    assert sorted(path for path in run.directory.rglob("results/**/*") if path.is_file()) == before
    assert run.plan(GRADUAL) == {"train": 1}


def test_run_is_undisturbed_by_a_second_snakemake_and_a_changed_configuration(run):
    first = run.start(NO_INCREASE, GRADUAL)
    regimes = ("no-increase", "gradual")
    while not any(": sgdr at" in run.log(regime) for regime in regimes):
        assert first.poll() is None
        time.sleep(0.1)
    # a stopped process keeps its lock, and cannot end before the second one has started
    first.send_signal(signal.SIGSTOP)
    second = run.run(GRADUAL, check=False)
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.output
    changed = yaml.safe_load(run.config.read_text())
    changed["training"]["learning_rate"] = 0.00123
    run.config.write_text(yaml.safe_dump(changed))
    first.send_signal(signal.SIGCONT)
    output, _ = first.communicate(timeout=200)
    assert first.returncode == 0, output
    assert run.metrics(GRADUAL)["resumed"] == 0
    rates = [run.metrics(path)["plan"]["training"]["learning_rate"] for path in (NO_INCREASE, GRADUAL)]
    assert 0.00123 not in rates
    assert run.plan(NO_INCREASE, GRADUAL) == {"train": 2}
