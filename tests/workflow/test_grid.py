"""The smallest grid, run for real; and what a second run does after a change."""

import json
import os
import re
import shutil

import pandas as pd
import pytest
from conftest import ROOT, run_snakemake

from entr.figures.gallery import GALLERY, SAMPLES

SMALLEST = ROOT / "tests" / "workflow" / "smallest.yaml"
CELLS = "results/cells/micrographs/resnet18"
FINISHED = re.compile(r"\(Rule: (\w+)\)")
PLANNED = re.compile(r"^([a-z_]+) +(\d+)$", re.MULTILINE)


def redrawn(*tables):
    """Count the figures that are drawn from some of these tables."""
    return sum(bool({*tables} & {*figure.tables}) for name, figure in GALLERY.items() if name != SAMPLES)


DRAWN = len(GALLERY) - 1
AGGREGATED = ("cells", "summary", "runs", "effects")
RECORDED = ("history", "steps", "lr_find", "confusions")
TAKEN = {"recommend": 1, "export_best": 1}
TABLES_AND_FIGURES = {
    "aggregate": 1, "compare": 1, "judge": 1, **TAKEN,
    "draw": redrawn(*AGGREGATED), "write_report": 1, "all": 1,
}  # fmt: skip
EVERY_TABLE = {**TABLES_AND_FIGURES, "collect_records": 1, "draw": redrawn(*AGGREGATED, *RECORDED)}
WHAT_CELLS_LEAD_TO = {"benchmark_finished": 1, **EVERY_TABLE}


class Grid:
    """A copy of the repository's own files, which may be edited, and a folder of results."""

    def __init__(self, folder):
        self.checkout, self.directory = folder / "a checkout", folder / "results of mine"
        self.directory.mkdir()
        for name in ("Snakefile", "CITATION.cff", "config", "profiles", "workflow", "envs"):
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            self.checkout.mkdir(exist_ok=True)
            copy(source, self.checkout / name)

    def run(self, *options, config=SMALLEST):
        """Run for real; return the output and the number of jobs of each rule."""
        every = ("--cores", "2", "--resources", "gpu=1", "--configfile", config)
        done = run_snakemake(self.checkout / "Snakefile", self.directory, *options, *every)
        found = FINISHED.findall(done.output)
        return done.output, {rule: found.count(rule) for rule in found}

    def plan(self, *options, config=SMALLEST):
        """Return the number of jobs of each rule that would run."""
        every = ("--dry-run", "--cores", "2", "--configfile", config)
        done = run_snakemake(self.checkout / "Snakefile", self.directory, *options, *every)
        planned = {rule: int(count) for rule, count in PLANNED.findall(done.output) if rule != "total"}
        assert planned or "Nothing to be done" in done.output, done.output
        return planned


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    made = Grid(tmp_path_factory.mktemp("grid"))
    made.first_output, made.first_jobs = made.run()
    return made


@pytest.fixture
def edit(grid):
    """Change a file of the checkout, and change it back after the test."""
    originals = {}

    def change(name, text):
        path = grid.checkout / name
        originals[path] = path.read_text()
        path.write_text(originals[path] + text)

    yield change
    for path, text in originals.items():
        path.write_text(text)


def test_one_run_leaves_cells_tables_and_figures(grid):
    assert grid.first_jobs == {
        "generate": 1, "downscale": 1, "describe": 1, "draw_samples": 1,
        "pack_pixels": 1, "split": 1, "train": 2, "benchmark_inference": 2, "bundle_library": 1,
        **WHAT_CELLS_LEAD_TO, "draw": DRAWN,
    }  # fmt: skip
    for regime in ("no-increase", "gradual"):
        files = {path.name for path in (grid.directory / CELLS / regime / "seed0").iterdir()}
        tables = {f"{name}.csv" for name in ("history", "steps", "lr_find", "predictions")}
        assert files == {"metrics.json", "model.safetensors", *tables}
    figures = {path.name for path in (grid.directory / "results" / "figures").iterdir()}
    endings = ("html", "svg", "png", "vl.json")
    assert figures == {"vega.js", *(f"{name}.{ending}" for name in GALLERY for ending in endings)}
    assert (grid.directory / "results" / "report.html").stat().st_size > 1e6
    cells = pd.read_csv(grid.directory / "results" / "tables" / "cells.csv", keep_default_na=False)
    assert set(cells["regime"]) == {"no-increase", "gradual"}
    assert set(cells[cells["measure"] == "time"]["basis"]) == {"training", "forward", "latency"}


def test_a_person_sees_which_cell_trains_and_so_does_the_log(grid):
    log = (grid.directory / "results/logs/train/micrographs/resnet18/gradual/seed0.log").read_text()
    line = re.compile(
        r"micrographs resnet18 gradual seed 0: cmult at 32 px, epoch 3 of 4: "
        r"loss \d+\.\d+ training, \d+\.\d+ validation, accuracy \d+\.\d %, about \d+:\d\d min left"
    )
    assert line.search(log)
    assert line.search(grid.first_output)


def test_random_first_weights_are_said_in_the_log_and_written_in_the_results(grid):
    assert "no pretrained weights" in grid.first_output
    metrics = json.loads((grid.directory / CELLS / "gradual/seed0/metrics.json").read_text())
    assert metrics["weights"] == "none"
    history = pd.read_csv(grid.directory / CELLS / "gradual/seed0/history.csv")
    assert set(history["layers"]) == {"all"}
    assert set(pd.read_csv(grid.directory / "results/tables/runs.csv", keep_default_na=False)["weights"]) == {"none"}


def test_a_second_run_has_nothing_to_do(grid):
    assert grid.plan() == {}


def test_touching_every_file_reruns_nothing(grid):
    for path in grid.checkout.rglob("*"):
        os.utime(path)
    assert grid.plan() == {}


@pytest.mark.parametrize(
    ("module", "jobs"),
    [
        ("figures/outcomes", {"draw": 2, "write_report": 1, "all": 1}),
        ("figures/confusions", {"draw": 1, "write_report": 1, "all": 1}),
        ("figures/gallery", {}),
        ("charts", {"draw": DRAWN, "draw_samples": 1, "write_report": 1, "all": 1}),
        ("report", {"write_report": 1, "all": 1}),
        ("links", {}),
        ("archives", {}),
        ("tables", TABLES_AND_FIGURES),
        ("records", {"collect_records": 1, "draw": redrawn(*RECORDED), "write_report": 1, "all": 1}),
        ("statistics", {"compare": 1, "judge": 1, "draw": redrawn("effects"), "write_report": 1, **TAKEN, "all": 1}),
        ("recommend", {**TAKEN, "write_report": 1, "all": 1}),
        ("best", {"export_best": 1, "all": 1}),
        ("classifying", {}),
        ("estimates", {}),
        ("verdict", {"judge": 1, "write_report": 1, "all": 1}),
        ("inference", {"benchmark_inference": 2, "benchmark_finished": 1, **TABLES_AND_FIGURES}),
        ("pixels", {"train": 2, **WHAT_CELLS_LEAD_TO}),
        ("splits", {"split": 1, "train": 2, **WHAT_CELLS_LEAD_TO}),
        ("config", {}),
        ("reference", {}),
    ],
)
def test_editing_a_module_makes_exactly_what_depends_on_it_stale(grid, edit, module, jobs):
    edit(f"workflow/scripts/entr/{module}.py", "\n# edited\n")
    assert grid.plan() == jobs


def test_a_comment_in_the_configuration_reruns_nothing(grid, edit):
    edit("config/config.yaml", "\n# a remark\n")
    assert grid.plan() == {}


def test_another_learning_rate_of_a_dataset_trains_its_cells_only(grid):
    changed = grid.plan("--config", "datasets={'micrographs': {'training': {'learning_rate': 0.001}}}")
    # and the schedule is drawn, which is configured
    assert changed == {"train": 2, **WHAT_CELLS_LEAD_TO, "draw": DRAWN}


def test_a_new_seed_trains_new_cells_only(grid):
    changed = grid.plan("--config", "grid={'seeds': [0, 1]}")
    # the first seed's networks are timed, the others are alike
    assert changed == {"split": 1, "train": 2, **EVERY_TABLE}


def test_what_is_finished_is_judged_while_the_rest_is_missing_and_nothing_is_trained(grid, tmp_path):
    cell = grid.directory / CELLS / "gradual" / "seed0"
    cell.rename(tmp_path / "aside")
    try:
        output, jobs = grid.run("so_far", "--nolock")
    finally:
        (tmp_path / "aside").rename(cell)
    assert jobs == {"so_far": 1}
    assert "1 of 2 cells are finished" in output
    so_far = grid.directory / "results" / "so_far"
    assert set(pd.read_csv(so_far / "cells.csv")["regime"]) == {"no-increase"}
    assert "micrographs resnet18 gradual seed 0" in (so_far / "verdict.md").read_text()
    assert grid.plan() == {}


def test_one_cell_makes_just_that_cell_and_what_it_needs(tmp_path):
    target = f"{CELLS}/gradual/seed7/metrics.json"
    assert Grid(tmp_path).plan(target) == {
        "generate": 1,
        "downscale": 1,
        "pack_pixels": 1,
        "split": 1,
        "train": 1,
    }


def test_a_deleted_cell_is_trained_again_with_the_same_numbers_and_nothing_else_is(grid):
    cell = grid.directory / CELLS / "gradual" / "seed0"
    other = (grid.directory / CELLS / "no-increase" / "seed0" / "metrics.json").stat().st_mtime_ns
    before = json.loads((cell / "metrics.json").read_text())
    shutil.rmtree(cell)
    _, jobs = grid.run()
    assert jobs == {"train": 1, **WHAT_CELLS_LEAD_TO}
    after = json.loads((cell / "metrics.json").read_text())
    assert after["evaluations"] == before["evaluations"]
    assert (grid.directory / CELLS / "no-increase" / "seed0" / "metrics.json").stat().st_mtime_ns == other
