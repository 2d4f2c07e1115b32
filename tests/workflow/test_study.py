"""The study in the docs: its archived cells, and what is made from them without images and without training."""

import math
import os
import re
import subprocess

import pandas as pd
import pytest
import yaml
from configurations import FILES, PAPER, merged
from conftest import ROOT

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
PAPER_TEXT = (STUDY / "README.md").read_text(encoding="utf-8")


def redraw(directory, *targets):
    """Make results of the study from its archived cells, and return the output."""
    done = subprocess.run(
        [STUDY / "redraw.sh", directory, *targets, "--verbose"],
        env=os.environ | {"XDG_CACHE_HOME": str(directory / ".cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """Directory with the tables and the paper of the study."""
    directory = tmp_path_factory.mktemp("study")
    output = redraw(directory, "paper", *(f"results/tables/{name}.csv" for name in ("metrics", "effects")))
    # the output of Snakemake, which --verbose shows
    assert "Finished jobid" in output
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
        for cell in STUDY.glob(f"cells/{ARCHIVED[0]}/*/{regime}/seed*"):
            own = (final["dataset"] == ARCHIVED[0]) & (final["regime"] == regime)
            own &= final["seed"] == int(cell.name.removeprefix("seed"))
            values = final[own].set_index("metric")["value"]
            predictions = pd.read_csv(cell / "predictions.csv").query("stage == 'total-tta' and resolution == 'phase'")
            accuracy = (predictions["label"] == predictions["predicted"]).mean()
            assert values["accuracy"] == pytest.approx(accuracy)
            # the rest of T is the resizing of the training images
            training = pd.read_csv(cell / "history.csv")["training_seconds"].sum()
            assert training < values["time"] < 1.02 * training
            assert values["efficiency"] == pytest.approx(math.sqrt(accuracy / values["time"]))


def test_published_paper_matches_the_one_remade_from_the_archived_cells(paper):
    assert (paper / "paper" / "README.md").read_text(encoding="utf-8") == PAPER_TEXT, "run `make study`"
    assert "This protocol was committed before the first cell" in PAPER_TEXT
    figures = {path.stem for path in (paper / "paper").glob("*.png")}
    assert figures == {*PAPER_FIGURES} == {path.stem for path in STUDY.glob("*.png")}
    assert figures == {*re.findall(r"!\[.*\]\((\w+)\.png\)", PAPER_TEXT)}


def test_readme_states_the_headline_of_the_study():
    headline = re.search(r"^\*\*(.+)\*\*$", PAPER_TEXT, re.MULTILINE)[1]
    assert headline in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


@pytest.mark.slow
def test_every_figure_and_the_report_are_redrawn(tmp_path):
    redraw(tmp_path)
    drawn = {path.stem for path in (tmp_path / "results" / "figures").glob("*.html")}
    assert drawn == {*CATALOGUE} - {SAMPLE_IMAGES}
    assert (tmp_path / "results" / "report.html").stat().st_size > 1e6
