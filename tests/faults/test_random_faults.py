"""Random sequences of faults, after each of which a run gives the results of a clean run.

Hypothesis draws the sequences. Each starts from a copy of a finished run of the smallest grid. A run that fails must
say why without a traceback; what its message asks to be deleted is deleted, and the run is repeated.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, copy_workflow
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from entr.config_reference import with_section

SMALLEST = yaml.safe_load((ROOT / "tests" / "workflow" / "smallest.yaml").read_text())
SMALLEST["grid"]["models"] = ["test_resnet"]
LEARNING_RATES = (0.002, 0.02)
MODULES = ("training/trainer.py", "analysis/aggregation.py", "data/split.py", "figures/palette.py")
TABLE = "results/tables/metrics.csv"
ADVICE = re.compile(r"results/[^\s,;:]+")
CELL_FILES = ("metrics.json", "history.csv", "lr_find.csv", "steps.csv", "predictions.csv", "model.safetensors")
MAX_ATTEMPTS = 4
"""Runs until one succeeds; each failed one names what to delete."""
fractions = st.floats(0, 1, exclude_max=True)


class Project:
    """A copy of the workflow, whose modules may be changed, and a directory with results."""

    def __init__(self, folder):
        self.folder = folder
        self.directory = folder / "run"
        self.results = self.directory / "results"
        self.settings = {"learning_rate": LEARNING_RATES[0], "seeds": [0]}

    @classmethod
    def made(cls, folder):
        """Copy the workflow."""
        copy_workflow(folder)
        (folder / "run").mkdir()
        return cls(folder)

    def copied(self, folder):
        """Return a copy with the same modification times and the metadata of Snakemake."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def start(self):
        """Start a run in a process group of its own."""
        config = json.loads(json.dumps(SMALLEST))
        config["grid"]["seeds"] = self.settings["seeds"]
        config["training"]["learning_rate"] = self.settings["learning_rate"]
        (self.directory / "mine.yaml").write_text(yaml.safe_dump(config))
        program = shutil.which("snakemake", path=Path(sys.executable).parent)
        command = [program, "--snakefile", self.folder / "Snakefile", "--directory", self.directory]
        # named as in the rule `all`, because Snakemake rebuilds no intermediate file whose products exist
        command += [TABLE, *(f"{cell}/{name}" for cell, name in product(self.cells(), CELL_FILES))]
        command += ["--cores", "1", "--resources", "gpu=1", "--configfile", self.directory / "mine.yaml"]
        environment = os.environ | {"XDG_CACHE_HOME": str(self.directory / ".cache"), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=self.folder,
            start_new_session=True,
        )

    def run(self):
        """Run, and return the exit status and the output."""
        process = self.start()
        output, _ = process.communicate(timeout=300)
        assert "Traceback" not in output, output
        return process.returncode, output

    def unlock(self):
        """Remove the lock of a killed Snakemake."""
        shutil.rmtree(self.directory / ".snakemake" / "locks", ignore_errors=True)

    def cells(self):
        """Return the directory of each cell, relative to the directory of the run."""
        factors = product(SMALLEST["grid"]["regimes"], self.settings["seeds"])
        return [f"results/cells/micrographs/test_resnet/{regime}/seed{seed}" for regime, seed in factors]

    def files(self):
        """Return all files of the results."""
        return sorted(path for path in self.results.rglob("*") if path.is_file() and not path.is_symlink())

    def outcome(self):
        """Return the digests of weights and predictions of each cell, and the accuracies in the table."""
        cells = {
            f"{cell}/{name}": hashlib.sha256((self.directory / cell / name).read_bytes()).hexdigest()
            for cell, name in product(self.cells(), ("model.safetensors", "predictions.csv"))
        }
        table = pd.read_csv(self.directory / TABLE)
        accuracies = table[table["metric"] == "accuracy"].drop(columns="time_basis")
        return cells, accuracies.to_csv(index=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run."""
    project = Project.made(tmp_path_factory.mktemp("finished") / "project")
    status, output = project.run()
    assert status == 0, output
    return project


@pytest.fixture(scope="module")
def clean(finished, tmp_path_factory):
    """Return the outcome of a clean run of a configuration."""
    folder = tmp_path_factory.mktemp("clean")
    known = {}

    def outcome(configured):
        key = json.dumps(configured)
        if key not in known:
            # images and splits are the same; cells are trained from nothing
            project = finished.copied(folder / f"{len(list(folder.iterdir()))}")
            shutil.rmtree(project.results / "cells")
            project.settings = configured
            status, output = project.run()
            assert status == 0, output
            known[key] = project.outcome()
        return known[key]

    return outcome


def machine(finished, clean, folder, counts):
    """Return the state machine."""

    class Faults(RuleBasedStateMachine):
        @initialize()
        def begin(self):
            counts["sequences"] = counts.get("sequences", 0) + 1
            self.folder = folder / str(counts["sequences"])
            self.project = finished.copied(self.folder)
            self.dirty = False

        def teardown(self):
            shutil.rmtree(self.folder)

        def count(self, fault):
            counts[fault] = counts.get(fault, 0) + 1
            self.dirty = True

        def choose(self, fraction):
            files = self.project.files()
            return files[int(fraction * len(files))]

        @rule(where=fractions, position=fractions, bit=st.integers(0, 7))
        def flip(self, where, position, bit):
            path = self.choose(where)
            content = bytearray(path.read_bytes())
            if content:
                content[int(position * len(content))] ^= 1 << bit
                path.write_bytes(content)
                self.count("flipped bit")

        @rule(where=fractions, share=fractions)
        def truncate(self, where, share):
            path = self.choose(where)
            path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
            self.count("truncated file")

        @rule(where=fractions)
        def delete(self, where):
            self.choose(where).unlink()
            self.count("deleted file")

        @rule(where=fractions)
        def delete_directory(self, where):
            shutil.rmtree(self.choose(where).parent)
            self.count("deleted directory")

        @rule(rate=st.sampled_from(LEARNING_RATES), seeds=st.sampled_from([[0], [0, 1]]))
        def configure(self, rate, seeds):
            changed = {"learning_rate": rate, "seeds": seeds}
            if changed != self.project.settings:
                self.project.settings = changed
                self.count("changed configuration")

        @rule()
        def touch_sources(self):
            for path in (self.project.folder / "workflow").rglob("*.*"):
                path.touch()
            self.count("touched sources")

        @rule(module=st.sampled_from(MODULES))
        def change_module(self, module):
            path = self.project.folder / "workflow/scripts/entr" / module
            path.write_text(f"{path.read_text()}\nADDED_{random.getrandbits(64)} = 1\n")
            self.count("changed module")

        @rule(share=fractions, whole=st.booleans(), stale=st.booleans())
        def kill(self, share, whole, stale):
            """Kill Snakemake with its jobs, or its jobs alone, up to 20 s after the start."""
            if stale:
                self.choose(share).unlink()
            process = self.project.start()
            end = time.monotonic() + 20 * share
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout
            try:
                if whole:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    for child in children.split():
                        os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has finished
            output, _ = process.communicate(timeout=300)
            assert "Traceback" not in output, output
            self.project.unlock()
            self.count("killed run" if whole else "killed job")

        @rule(where=fractions, free=st.integers(0, 3_000_000), read_only=st.booleans())
        def break_disk(self, where, free, read_only):
            """Run while the disk of the results is full, or read-only."""
            if not can_mount(folder):
                return
            project, kept = self.project, self.folder / "kept"
            self.choose(where).unlink()
            project.results.rename(kept)
            project.results.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500m", "tmpfs", project.results], check=True)
            try:
                shutil.copytree(kept, project.results, dirs_exist_ok=True, symlinks=True)
                size = shutil.disk_usage(project.results).used + free
                options = "ro" if read_only else f"size={size}"
                subprocess.run(["mount", "-o", f"remount,{options}", project.results], check=True)
                project.run()
                shutil.rmtree(kept)
                shutil.copytree(project.results, kept, symlinks=True)
            finally:
                subprocess.run(["umount", project.results], check=True)
                project.results.rmdir()
                kept.rename(project.results)
            self.count("read-only disk" if read_only else "full disk")

        @invariant()
        def results_are_those_of_a_clean_run(self):
            if not getattr(self, "dirty", False):
                return
            for _ in range(MAX_ATTEMPTS):
                status, output = self.project.run()
                if status == 0:
                    break
                counts["refused"] = counts.get("refused", 0) + 1
                self.follow_advice(output)
            assert status == 0, output
            assert self.project.outcome() == clean(self.project.settings)
            self.dirty = False

        def follow_advice(self, output):
            """Delete what the error asks to be deleted."""
            sentences = [line for line in output.splitlines() if "delete" in line]
            assert sentences, output
            for name in ADVICE.findall(sentences[0]):
                path = self.project.directory / name
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    return Faults


def can_mount(folder):
    """Return whether a disk can be mounted, which takes root and is not possible in each container."""
    if os.geteuid() != 0:
        return False
    probe = folder / "probe"
    probe.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", probe], capture_output=True).returncode:
        return False
    subprocess.run(["umount", probe], check=True)
    return True


def survive(finished, clean, folder, *, sequences, steps):
    """Run random sequences of faults, and return how often each fault occurred."""
    counts = {}
    run_state_machine_as_test(
        seed(5)(machine(finished, clean, folder, counts)),
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            derandomize=False,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return counts


def faults_in(counts):
    return sum(count for name, count in counts.items() if name not in {"sequences", "refused"})


@pytest.mark.slow
def test_results_are_those_of_a_clean_run_after_two_hundred_random_faults(finished, clean, tmp_path):
    counts = survive(finished, clean, tmp_path, sequences=36, steps=8)
    assert faults_in(counts) >= 200
    if page := os.environ.get("ENTR_FAULTS_PAGE"):
        document(counts, Path(page))


def document(counts, page):
    """Write the counts into their section of a page."""
    rows = [(name, count) for name, count in sorted(counts.items()) if name not in {"sequences", "refused"}]
    table = "".join(f"| {name} | {count} |\n" for name, count in [*rows, ("**all**", faults_in(counts))])
    content = (
        f"The last run survived {faults_in(counts)} faults in {counts['sequences']} sequences. "
        f"{counts['refused']} runs stopped and named what to delete.\n\n| fault | times |\n| --- | ---: |\n{table}"
    )
    page.write_text(with_section(page.read_text(encoding="utf-8"), "faults", content, "faults"), encoding="utf-8")
