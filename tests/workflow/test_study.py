"""The study in the docs: its archived cells, and what is made from them without images and without training."""

import math
import re

import pandas as pd
import pytest
import yaml
from configurations import FILES, PAPER, merged
from conftest import ROOT, run_snakemake

from entr.config.validation import validate_config
from entr.figures.catalogue import CATALOGUE, PAPER_FIGURES, SAMPLE_IMAGES
from entr.jobs.tables import read_table
from entr.metrics.cell_files import verify_files
from entr.report.archived_cells import check_cells

STUDY = ROOT / "docs" / "study"
CONFIGURATION = STUDY / "config.yaml"
GRID = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["grid"]
ARCHIVED = [name for name in GRID["datasets"] if (STUDY / "cells" / name).is_dir()]
REGIMES = ("no-increase", "gradual")


def redraw(directory, *targets):
    """Run the workflow on two regimes and two seeds of the archived cells, and return its output."""
    grid = f"grid={{datasets: [{ARCHIVED[0]}], regimes: [{', '.join(REGIMES)}], seeds: [0, 1]}}"
    protocol = f"paper={{protocol: {STUDY / 'protocol.md'}}}"
    options = ("--cores", "2", "--configfile", PAPER, CONFIGURATION, "--config", f"archive={STUDY}", grid, protocol)
    return run_snakemake(ROOT / "Snakefile", directory, *targets, *options, "--verbose").output


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """Directory with the tables and the paper of a part of the study."""
    directory = tmp_path_factory.mktemp("study")
    output = redraw(directory, "paper", *(f"results/tables/{name}.csv" for name in ("metrics", "effects")))
    assert "copy_archived_cell" in output
    assert not re.search(r"^rule (train|downscale|fetch_\w+):", output, re.MULTILINE)
    return directory / "results"


def test_archived_cells_are_complete_and_undamaged():
    config = validate_config(merged(*FILES, PAPER, CONFIGURATION, archive=str(STUDY), grid={"datasets": ARCHIVED}))
    cells = math.prod(map(len, config.grid.model_dump().values()))
    assert check_cells(STUDY, config) == cells - len(list(STUDY.glob("cells/*/*/*/*/metrics.json")))
    verify_files(path for path in STUDY.glob("cells/**/*") if path.is_file())


def test_each_archived_seed_has_all_regimes():
    for dataset in ARCHIVED:
        seeds = {path.name for path in STUDY.glob(f"cells/{dataset}/*/*/seed*")}
        for seed in seeds:
            assert {path.parent.name for path in STUDY.glob(f"cells/{dataset}/*/*/{seed}")} == {*GRID["regimes"]}


def test_results_follow_from_the_archived_files(paper):
    metrics = read_table(paper / "tables" / "metrics.csv")
    final = metrics[
        (metrics["stage"] == "total-tta")
        & (metrics["resolution"] == "phase")
        & metrics["time_basis"].isin(["", "training"])
    ]
    for regime in REGIMES:
        for seed in (0, 1):
            (cell,) = STUDY.glob(f"cells/{ARCHIVED[0]}/*/{regime}/seed{seed}")
            values = final[(final["regime"] == regime) & (final["seed"] == seed)].set_index("metric")["value"]
            predictions = pd.read_csv(cell / "predictions.csv").query("stage == 'total-tta' and resolution == 'phase'")
            accuracy = (predictions["label"] == predictions["predicted"]).mean()
            assert values["accuracy"] == pytest.approx(accuracy)
            # the rest of T is the resizing of the training images
            training = pd.read_csv(cell / "history.csv")["training_seconds"].sum()
            assert training < values["time"] < 1.02 * training
            assert values["efficiency"] == pytest.approx(math.sqrt(accuracy / values["time"]))


def test_paper_has_the_protocol_and_every_figure(paper):
    text = (paper / "paper" / "README.md").read_text(encoding="utf-8")
    assert "4 of 4 cells are finished" in text
    assert "This protocol was committed before the first cell" in text
    assert {path.stem for path in (paper / "paper").glob("*.png")} == {*PAPER_FIGURES}


@pytest.mark.slow
def test_every_figure_and_the_report_are_redrawn(tmp_path):
    redraw(tmp_path)
    drawn = {path.stem for path in (tmp_path / "results" / "figures").glob("*.html")}
    assert drawn == {*CATALOGUE} - {SAMPLE_IMAGES}
    assert (tmp_path / "results" / "report.html").stat().st_size > 1e6
