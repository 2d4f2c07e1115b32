"""The smallest grid, run for real, and what a second run does after a change."""

import copy
import json
import os
import re
import shutil
import zipfile
from hashlib import sha256

import pandas as pd
import pytest
from conftest import ROOT, copy_workflow, run_snakemake
from data_dictionary import problems_of, tables_in, undocumented_tables
from factories import flip_bit

from entr.figures.catalogue import CATALOGUE, SAMPLE_IMAGES
from entr.jobs.tables import read_table

SMALLEST = [ROOT / "tests" / "workflow" / name for name in ("smallest.yaml", "smallest_network.yaml")]
CELLS = "results/cells/micrographs/test_resnet"
FINISHED = re.compile(r"\(Rule: (\w+)\)")
PLANNED = re.compile(r"^([a-z_]+) +(\d+)$", re.MULTILINE)


def redrawn(*tables):
    """Return the number of figures that are drawn from any of these tables."""
    return sum(bool({*tables} & {*figure.tables}) for name, figure in CATALOGUE.items() if name != SAMPLE_IMAGES)


FIGURES = len(CATALOGUE) - 1
TIMES = ("time_to_accuracy", "time_to_accuracy_effects")
AGGREGATED = ("metrics", "summary", "cells", "effects", "pareto_front", *TIMES)
HISTORIES = ("history", "steps", "lr_find", "confusions", *TIMES)
EXPORT = {"recommend": 1, "export_model": 1, "analyse_errors": 1}
REPORT = {"render_report": 1, "record_provenance": 1, "all": 1}
FROM_METRICS = {
    "aggregate_metrics": 1,
    "estimate_effects": 1,
    "estimate_fronts": 1,
    "measure_time_to_accuracy": 1,
    "evaluate_claims": 1,
    **EXPORT,
    "plot_figure": redrawn(*AGGREGATED),
    **REPORT,
}
FROM_ALL_TABLES = {**FROM_METRICS, "aggregate_histories": 1, "plot_figure": redrawn(*AGGREGATED, *HISTORIES)}
FROM_CELLS = {"benchmark_trained": 1, **FROM_ALL_TABLES}
"""Jobs per rule that follow from a change of the metrics, of all tables, and of cells."""


class Grid:
    """A copy of the repository that may be edited, and a directory for results."""

    def __init__(self, folder):
        self.checkout, self.directory = folder / "a checkout", folder / "my results"
        self.directory.mkdir()
        copy_workflow(self.checkout)

    def run(self, *options, config=SMALLEST):
        """Run for real, and return the output and the number of jobs per rule."""
        every = ("--cores", "2", "--resources", "gpu=1", "--configfile", *config)
        done = run_snakemake(self.checkout / "Snakefile", self.directory, *options, *every)
        log = max((self.directory / ".snakemake" / "log").iterdir(), key=lambda path: path.stat().st_mtime)
        found = FINISHED.findall(log.read_text())
        return done.output, {rule: found.count(rule) for rule in found}

    def plan(self, *options, config=SMALLEST):
        """Return the number of jobs per rule that would run."""
        every = ("--dry-run", "--cores", "2", "--configfile", *config)
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
    """Function that changes files of the checkout; they are restored after the test."""
    originals = {}

    def change(name, text):
        path = grid.checkout / name
        originals.setdefault(path, path.read_text())
        path.write_text(originals[path] + text)

    yield change
    for path, text in originals.items():
        path.write_text(text)


def test_run_writes_cells_tables_and_figures(grid):
    assert grid.first_jobs == {
        "render_micrographs": 1,
        "downscale": 1,
        "pack_images": 1,
        "split": 1,
        "train": 2,
        "summarise_datasets": 1,
        "plot_sample_images": 1,
        "bundle_vega": 1,
        "benchmark_inference": 1,
        **FROM_CELLS,
        "plot_figure": FIGURES,
    }
    for regime in ("no-increase", "gradual"):
        files = {path.name for path in (grid.directory / CELLS / regime / "seed0").iterdir()}
        tables = {f"{name}.csv" for name in ("history", "steps", "lr_find", "predictions")}
        assert files == {"metrics.json", "model.safetensors", *tables}
    figures = {path.name for path in (grid.directory / "results" / "figures").iterdir()}
    endings = ("html", "svg", "png", "vl.json")
    assert figures == {"vega.js", *(f"{name}.{ending}" for name in CATALOGUE for ending in endings)}
    assert (grid.directory / "results" / "report.html").stat().st_size > 1e6
    metrics = read_table(grid.directory / "results" / "tables" / "metrics.csv")
    assert set(metrics["regime"]) == {"no-increase", "gradual"}
    assert set(metrics[metrics["metric"] == "time"]["time_basis"]) == {"training", "forward", "latency"}


def test_all_tables_have_the_documented_columns(grid):
    results = grid.directory / "results"
    written = [(key, path) for key, paths in tables_in(results).items() for path in paths]
    problems = [problem for key, path in written for problem in problems_of(key, path)]
    assert problems == []
    assert undocumented_tables(results) == []


def test_terminal_shows_events_and_the_answer_in_short_lines(grid):
    lines = [line for line in grid.first_output.splitlines() if not line.startswith("Config file ")]
    assert max(map(len, lines)) <= 120
    assert len(lines) <= 30
    (first, second) = (line for line in lines if line.startswith("micrographs test_resnet "))
    assert re.search(r"A \d+\.\d %, T \d+\.\d s \(cell 1 of 2, \d+ % of the work, about \d+ (s|min) left\)$", first)
    assert second.endswith("(cell 2 of 2)")
    answer, command = (grid.directory / "results" / "answer.txt").read_text().rstrip().rsplit("\n", 1)
    assert answer in grid.first_output
    assert command.strip() == "snakemake --config seeds=6"
    command_in_one_line = re.sub(r"\\\n\s*", "", grid.first_output)
    assert re.search(r"--config seeds=6\b", command_in_one_line)
    assert re.search(r"^    snakemake .*--configfile", grid.first_output.replace("\\\n", ""), re.MULTILINE)
    assert "results/report.html" in grid.first_output


def test_progress_of_a_cell_is_logged(grid):
    log = (grid.directory / "results/logs/train/micrographs/test_resnet/gradual/seed0.log").read_text()
    line = re.compile(
        r"micrographs test_resnet gradual seed 0: cmult at 32 px, epoch 3 of 4: "
        r"training loss \d+\.\d+, validation loss \d+\.\d+, validation accuracy \d+\.\d %, about \d+:\d\d min left"
    )
    assert line.search(log)


def test_random_initialisation_is_logged_and_recorded(grid):
    assert "no pretrained weights" in grid.first_output
    metrics = json.loads((grid.directory / CELLS / "gradual/seed0/metrics.json").read_text())
    assert metrics["weights"] == "none"
    history = pd.read_csv(grid.directory / CELLS / "gradual/seed0/history.csv")
    assert set(history["layers"]) == {"all"}
    assert set(read_table(grid.directory / "results/tables/cells.csv")["weights"]) == {"none"}


@pytest.mark.parametrize(
    ("module", "jobs"),
    [
        ("figures/accuracy", {"plot_figure": 1, **REPORT}),
        ("figures/charts", {"plot_figure": FIGURES, "plot_sample_images": 1, **REPORT}),
        pytest.param("report/page", REPORT, marks=pytest.mark.slow),
        pytest.param("analysis/aggregation", FROM_METRICS, marks=pytest.mark.slow),
        (
            "analysis/time_to_accuracy",
            {"measure_time_to_accuracy": 1, "plot_figure": redrawn(*TIMES), **REPORT},
        ),
        ("deploy/predict", {"export_model": 1, "record_provenance": 1, "all": 1}),
        ("benchmark/inference", {"benchmark_inference": 1, "benchmark_trained": 1, **FROM_METRICS}),
        pytest.param("training/batches", {"train": 2, **FROM_CELLS}, marks=pytest.mark.slow),
        ("data/split", {"split": 1, "train": 2, **FROM_CELLS}),
        pytest.param("config/validation", {}, marks=pytest.mark.slow),
    ],
)
def test_changed_module_makes_exactly_what_depends_on_it_stale(grid, edit, module, jobs):
    edit(f"workflow/scripts/entr/{module}.py", "\nCHANGED = True\n")
    assert grid.plan() == jobs


def test_changed_learning_rate_of_a_dataset_retrains_its_cells_only(grid):
    changed = grid.plan("--config", "datasets={'micrographs': {'training': {'learning_rate': 0.001}}}")
    # fig3_schedule is drawn from the configuration
    assert changed == {"train": 2, **FROM_CELLS, "plot_figure": FIGURES}


def test_added_seed_trains_new_cells_only(grid):
    changed = grid.plan("--config", "grid={'seeds': [0, 1]}")
    # only the models of the first seed are benchmarked
    assert changed == {"split": 1, "train": 2, **FROM_ALL_TABLES}


def test_budget_is_fitted_once_before_the_run_is_planned(grid):
    hours = ("--config", "hours=9")
    target = "results/tables/datasets.csv"
    done = run_snakemake(
        grid.checkout / "Snakefile", grid.directory, "--dry-run", target, "--configfile", *SMALLEST, *hours
    )
    assert "the grid that fits is chosen when the run starts" in done.output
    assert not (grid.directory / "results" / "budget.yaml").exists()
    # as a user does, with paths that are relative to the checkout
    directory, *config = (os.path.relpath(path, grid.checkout) for path in (grid.directory, *SMALLEST))
    cache = {"XDG_CACHE_HOME": str(grid.directory / ".cache")}
    done = run_snakemake(
        "Snakefile", directory, target, "--cores", "2", "--configfile", *config, *hours, cwd=grid.checkout, **cache
    )
    assert "measuring training steps" in done.output
    assert "budget of 9 h: test_resnet, scale 1, 2 regimes, 6 seeds; about " in done.output
    # seed 0 is finished; the file is read again, and no grid is chosen
    assert grid.plan(*hours)["train"] == 2 * 5


def test_progress_analyses_the_finished_cells_and_trains_nothing(grid, tmp_path):
    cell = grid.directory / CELLS / "gradual" / "seed0"
    cell.rename(tmp_path / "aside")
    try:
        output, jobs = grid.run("progress", "--nolock")
    finally:
        (tmp_path / "aside").rename(cell)
    assert jobs == {"progress": 1}
    assert "1 of 2 cells finished, 0 running, 0 interrupted, 1 pending" in output
    progress = grid.directory / "results" / "progress"
    assert set(read_table(progress / "cells.csv")["regime"]) == {"no-increase"}
    assert "micrographs test_resnet gradual seed 0" in (progress / "verdict.md").read_text()


def test_web_page_is_written_on_request_only(grid, server):
    model = grid.directory / "results/models/micrographs"
    assert not (model / "classify.html").exists()
    contents = {"ort.wasm.bundle.min.mjs": b"export default 1;", "ort-wasm-simd-threaded.wasm": b"\0asm"}
    javascript, webassembly = (sha256(content).hexdigest() for content in contents.values())
    for name, content in contents.items():
        server.add(f"/dist/{name}", content)
    runtime = {"urls": [f"{server.address}/dist/"], "javascript_sha256": javascript, "webassembly_sha256": webassembly}
    output, jobs = grid.run("web_page", "--config", f"onnxruntime_web={runtime}")
    assert jobs == {"fetch_onnxruntime_web": 1, "web_page": 1}
    assert "results/models/micrographs/classify.html: " in output
    assert (model / "classify.html").stat().st_size > (model / "model.onnx").stat().st_size


def test_comparison_without_a_second_run_says_how_to_name_it(grid):
    done = run_snakemake(grid.checkout / "Snakefile", grid.directory, "compare_runs", "--cores", "1", check=False)
    assert "compare_runs needs two runs; add --config before=FOLDER" in done.output


def test_folder_to_compare_must_exist(snakemake):
    done = snakemake("--dry-run", "compare_runs", "--config", "before=nowhere", check=False)
    assert (
        "--config: before: the folder 'nowhere' does not exist; give the folder results of a finished run"
        in done.output
    )


@pytest.fixture(scope="module")
def archive(grid, tmp_path_factory):
    """Extracted archive of the finished grid."""
    folder = tmp_path_factory.mktemp("archive")
    _, jobs = grid.run("ro_crate", "--config", "crate={'author': 'Ada Lovelace'}")
    assert jobs == {"ro_crate": 1}
    with zipfile.ZipFile(grid.directory / "results" / "entr.crate.zip") as file:
        file.extractall(folder)
    return folder


def test_extracted_archive_plans_the_same_grid(grid, archive):
    files = [path for path in archive.rglob("*") if path.is_file()]
    assert [path for path in files if os.fsencode(grid.directory.parent) in path.read_bytes()] == []
    plan = run_snakemake(archive / "Snakefile", archive, "--dry-run", "--cores", "1", "--forceall")
    planned = {rule: int(count) for rule, count in PLANNED.findall(plan.output) if rule != "total"}
    assert planned == grid.first_jobs


def test_runs_with_equal_results_are_compared_and_nothing_is_trained(grid, archive):
    output, jobs = grid.run("compare_runs", "--config", f"before={archive}")
    assert jobs == {"compare_runs": 1}
    assert "predictions: identical digit for digit in 2 of 2 common cells" in output
    assert "differences: none is recorded" in output
    table = read_table(grid.directory / "results/comparison/comparison.csv")
    # an efficiency of zero has no logarithm
    defined = table["change"].notna()
    assert table.loc[defined, "change"].eq(0).all()
    assert set(table.loc[~defined, "note"]) <= {"no value is above zero in both runs"}
    assert defined.sum() > len(table) / 2


def test_touched_and_reworded_files_rerun_nothing(grid, edit):
    for path in grid.checkout.rglob("*"):
        os.utime(path)
    for path in (grid.checkout / "workflow" / "scripts").rglob("*.py"):
        name = path.relative_to(grid.checkout).as_posix()
        edit(name, "\n# a comment\n")
        path.write_text(path.read_text().replace('"""', '"""Reworded. ', 1))
    edit("config/config.yaml", "\n# a remark\n")
    assert grid.plan() == {}


@pytest.fixture
def elsewhere(grid, tmp_path):
    """The grid with another directory for results."""
    other = copy.copy(grid)
    other.directory = tmp_path
    return other


def test_tables_are_remade_from_an_archive_without_training(grid, archive, elsewhere):
    tables = sorted(path.relative_to(grid.directory).as_posix() for path in grid.directory.glob("results/tables/*.csv"))
    tables.remove("results/tables/sample_images.csv")
    _, jobs = elsewhere.run(*tables, "results/recommendation.md", "--config", f"archive={archive}")
    others = {"export_model", "analyse_errors", "benchmark_trained", "plot_figure", *REPORT}
    assert jobs == {
        "copy_archived_cell": 2,
        # two of each cell, two of the inference benchmark, three of the images
        "copy_archived_table": 9,
        "summarise_datasets": 1,
        **{rule: count for rule, count in FROM_ALL_TABLES.items() if rule not in others},
    }
    results, remade = (one.directory for one in (grid, elsewhere))
    assert [name for name in tables if (remade / name).read_bytes() != (results / name).read_bytes()] == []
    assert "results/models" in (results / "results/recommendation.md").read_text()
    assert "results/models" not in (remade / "results/recommendation.md").read_text()


@pytest.mark.slow
def test_report_and_archive_are_remade_from_an_archive(grid, archive, elsewhere):
    output, jobs = elsewhere.run("--config", f"archive={archive}")
    assert jobs["plot_figure"] == FIGURES
    assert "The report:" in output
    assert "The model:" not in output
    results = elsewhere.directory / "results"
    assert (results / "report.html").stat().st_size > 1e6
    _, jobs = elsewhere.run("ro_crate", "--config", f"archive={archive}")
    assert jobs == {"record_provenance": 1, "ro_crate": 1}
    originals, remade = (
        set(zipfile.ZipFile(directory / "results" / "entr.crate.zip").namelist())
        for directory in (grid.directory, elsewhere.directory)
    )
    from_images_and_models = re.compile(r"results/(models|data/.*/splits|figures/sample_images|tables/sample_images)")
    assert {name for name in originals - remade if not from_images_and_models.match(name)} == set()


def test_archive_is_planned_up_to_the_report_with_its_own_configuration(archive, elsewhere):
    configuration = sorted((archive / "config").glob("*.yaml"))
    planned = elsewhere.plan("--config", f"archive={archive}", config=configuration)
    assert planned["copy_archived_cell"] == 2
    assert planned["plot_figure"] == FIGURES
    assert planned["render_report"] == 1
    assert planned.keys().isdisjoint({"train", "export_model", "analyse_errors", "plot_sample_images"})


def plan_from(archive, grid, folder, seeds, **options):
    """Plan the tables and figures of archived cells."""
    given = ("--config", f"archive={archive}", f"grid={{seeds: {seeds}}}")
    words = ("--dry-run", "--cores", "1", "--configfile", *SMALLEST, *given)
    return run_snakemake(grid.checkout / "Snakefile", folder, *words, **options)


def test_further_seeds_may_be_missing_in_an_archive(grid, archive, tmp_path):
    done = plan_from(archive, grid, tmp_path, [0, 1])
    assert "archive: 2 cells of the grid are not archived; tables and figures show the others" in done.output
    assert ("copy_archived_cell", "2") in PLANNED.findall(done.output)


def test_target_cell_runs_only_what_it_needs(elsewhere):
    target = f"{CELLS}/gradual/seed7/metrics.json"
    assert elsewhere.plan(target) == {
        "render_micrographs": 1,
        "downscale": 1,
        "pack_images": 1,
        "split": 1,
        "train": 1,
    }


def test_damaged_file_is_named_and_only_its_cell_is_retrained_with_the_same_results(grid, tmp_path):
    other_grid = copy.copy(grid)
    other_grid.directory = tmp_path / "damaged results"
    shutil.copytree(grid.directory, other_grid.directory, symlinks=True)
    damaged, cell = f"{CELLS}/gradual/seed0/predictions.csv", f"{CELLS}/gradual/seed0"
    path = other_grid.directory / damaged
    flip_bit(path, position=path.stat().st_size // 2)
    words = (grid.checkout / "Snakefile", other_grid.directory, "results/tables/confusions.csv")
    words += ("--cores", "2", "--configfile", *SMALLEST)
    done = run_snakemake(*words, "--dry-run", check=False)
    assert done.returncode != 0
    assert f"{damaged} was changed after the job that wrote it: the content does not match" in done.output
    # as in results of an earlier version
    (other_grid.directory / "results" / "checksums.jsonl").unlink()
    done = run_snakemake(*words, check=False)
    assert done.returncode != 0
    assert f"{damaged} is damaged (its content does not match the checksum in metrics.json)" in done.output
    assert f"delete the directory {cell} and run again: only that cell is retrained" in done.output
    rerun = re.search(r"^  rerun:  snakemake (\S+) (.*)$", done.output, re.MULTILINE)
    assert f"--configfile {SMALLEST[0]} {SMALLEST[1]}" in rerun[2]
    metrics, other = (other_grid.directory / CELLS / name / "seed0/metrics.json" for name in ("gradual", "no-increase"))
    before, written = json.loads(metrics.read_text()), other.stat().st_mtime_ns
    shutil.rmtree(other_grid.directory / cell)
    assert other_grid.plan() == {"train": 1, **FROM_CELLS}
    _, jobs = other_grid.run(rerun[1])
    assert jobs == {"train": 1, "aggregate_histories": 1}
    assert json.loads(metrics.read_text())["evaluations"] == before["evaluations"]
    assert other.stat().st_mtime_ns == written


def test_checksums_are_recorded_with_quiet_too(grid):
    table = "results/tables/datasets.csv"
    checksums = grid.directory / "results" / "checksums.jsonl"
    before = checksums.read_text().count(table)
    grid.run(table, "--quiet", "--forcerun", "summarise_datasets")
    assert checksums.read_text().count(table) > before
