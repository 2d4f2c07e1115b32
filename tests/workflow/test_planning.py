"""What snakemake plans, without running it."""

import re

import pytest
from conftest import ROOT


def jobs(done):
    return {name: int(count) for name, count in re.findall(r"^([a-z_]+) +(\d+)$", done.output, re.MULTILINE)}


def test_the_default_configuration_plans_its_six_cells(snakemake):
    assert jobs(snakemake("--dry-run"))["train"] == 6


def test_the_paper_s_grid_plans_every_cell_its_weights_and_its_splits(snakemake):
    planned = jobs(snakemake("--dry-run", "--configfile", ROOT / "config" / "paper.yaml"))
    assert planned["train"] == 3 * 3 * 3 * 10
    assert planned["fetch_weights"] == 3
    assert planned["split"] == 3 * 10
    assert planned["fetch"] == 3


def test_a_folder_of_yours_needs_six_lines(snakemake, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("grid:\n  datasets: [mine]\n  seeds: [0]\ndatasets:\n  mine: {source: folder, path: photos}\n")
    assert jobs(snakemake("--dry-run", "--configfile", mine))["train"] == 3


def test_a_mistake_in_the_configuration_is_one_line(snakemake):
    done = snakemake("--dry-run", "--config", "weights=imagenett", check=False)
    assert done.returncode == 1
    assert "--config: weights: the value should be 'imagenet' or 'none', but it is 'imagenett'" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("name", ["resnet19", "gradul", "seedx"])
def test_a_mistyped_target_is_no_target(snakemake, name):
    parts = {"model": "resnet18", "regime": "gradual", "seed": "seed0"}
    parts |= {"resnet19": {"model": name}, "gradul": {"regime": name}, "seedx": {"seed": name}}[name]
    target = "results/cells/micrographs/{model}/{regime}/{seed}/metrics.json".format(**parts)
    done = snakemake("--dry-run", target, check=False)
    assert done.returncode != 0
    assert "MissingRuleException" in done.output


def test_snakemake_finds_nothing_to_criticise(snakemake):
    assert "Congratulations" in snakemake("--lint").output
