"""Jobs that Snakemake plans."""

import json
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from PIL import Image

from entr.config.budget_file import Budget, write_budget

SMALLEST = [ROOT / "tests" / "workflow" / name for name in ("smallest.yaml", "smallest_network.yaml")]


def jobs(done):
    return {name: int(count) for name, count in re.findall(r"^([a-z_]+) +(\d+)$", done.output, re.MULTILINE)}


def test_default_configuration_plans_six_seeds_of_three_regimes(snakemake):
    planned = jobs(snakemake("--dry-run"))
    assert planned["train"] == 6 * 3
    # downloads nothing
    assert [name for name in planned if name.startswith("fetch")] == []


def test_grid_of_the_paper_plans_all_cells_weights_splits_and_fitted_epochs(snakemake):
    planned = jobs(
        snakemake("--dry-run", "--configfile", ROOT / "config/paper.yaml", "--config", "match=time", "seeds=1")
    )
    assert planned["train"] == 3 * 3 * 3
    assert planned["fit_epochs"] == 3 * 3
    assert planned["fetch_weights"] == 3
    assert planned["split"] == 3
    assert planned["fetch_archive"] == 1
    assert planned["link_images"] == 2


def test_published_schedules_are_planned_for_a_folder_of_images(snakemake, tmp_path):
    (tmp_path / "photos" / "a class").mkdir(parents=True)
    schedules = ROOT / "config/schedules.yaml"
    planned = jobs(snakemake("--dry-run", "--configfile", schedules, "--config", "images=photos", "seeds=1"))
    assert planned["train"] == 12
    assert "fit_epochs" not in planned


@pytest.mark.slow
def test_regimes_of_equal_time_are_trained_with_the_fitted_epochs(snakemake, tmp_path):
    cells = [
        tmp_path / f"results/cells/micrographs/test_resnet/{regime}/seed0" for regime in ("no-increase", "gradual")
    ]
    targets = [(cell / "metrics.json").relative_to(tmp_path) for cell in cells]
    snakemake(*targets, "--cores", "2", "--configfile", *SMALLEST, "--config", "match=time")
    fitted = yaml.safe_load((tmp_path / "results/epochs/micrographs/test_resnet.yaml").read_text())
    plans = [json.loads((cell / "metrics.json").read_text())["plan"] for cell in cells]
    trained = [{phase["phase"]: sum(phase["lengths"]) for phase in plan["phases"]} for plan in plans]
    assert trained == [fitted["no-increase"], fitted["gradual"]]
    assert trained[0] == {"sgdr": 1, "clrs": 1, "cmult": 1, "rpl": 1}
    assert len(pd.read_csv(cells[1] / "history.csv")) == sum(trained[1].values())


def test_folder_of_images_starts_from_pretrained_weights(snakemake, tmp_path):
    (tmp_path / "photos" / "a class").mkdir(parents=True)
    planned = jobs(snakemake("--dry-run", "--config", "images=photos"))
    assert (planned["train"], planned["fetch_weights"]) == (4 * 3, 1)
    paper = ("--configfile", ROOT / "config/paper.yaml")
    with_paper = jobs(snakemake("--dry-run", *paper, "--config", "images=photos", "seeds=1"))
    assert (with_paper["train"], with_paper["fetch_weights"]) == (3 * 3, 3)


def test_folder_of_images_keeps_the_other_settings_of_images(snakemake, tmp_path):
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 255, (200, 300, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    snakemake("results/data/photos/manifest.csv", "--cores", "2", "--config", "images=photos", "weights=none")
    manifest = pd.read_csv(tmp_path / "results" / "data" / "photos" / "manifest.csv")
    # config/own_images.yaml: the shorter side has 0.6 times 250 px
    assert set(zip(manifest["width"], manifest["height"], strict=True)) == {(225, 150)}


def test_budget_is_not_fitted_while_another_run_uses_the_directory(snakemake, tmp_path):
    lock = tmp_path / ".snakemake" / "locks" / "0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    budget = tmp_path / "results" / "budget.yaml"
    write_budget(Budget(configuration="of that run", images="", hours=2, expected_hours=1, grid=None), budget)
    before = budget.read_bytes()
    done = snakemake("--cores", "1", "--config", "hours=1", check=False)
    assert "hours: the grid cannot be chosen while another run uses this directory; wait until it ends" in done.output
    assert budget.read_bytes() == before


def test_model_for_a_single_image_size_is_refused_before_any_job(snakemake):
    done = snakemake("--config", "grid={'models': ['resnet18', 'vit_b_16']}", check=False)
    assert done.returncode == 1
    assert "grid.models: vit_b_16 cannot be used: " in done.output
    assert "Traceback" not in done.output


def test_each_dataset_of_the_catalogue_can_be_planned(snakemake):
    catalogue = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text())["datasets"]
    targets = [f"results/data/{name}/splits/seed0.csv" for name in catalogue]
    planned = jobs(snakemake("--dry-run", *targets))
    kinds = Counter(one["source"] for one in catalogue.values())
    rules = {
        "archive": "fetch_archive",
        "torchvision": "fetch_torchvision",
        "folder": "link_images",
        "synthetic": "render_micrographs",
    }
    assert {rules[kind]: count for kind, count in kinds.items()}.items() <= planned.items()


def test_configuration_error_is_one_line(snakemake):
    done = snakemake("--dry-run", "--config", "control=gradul", check=False)
    assert done.returncode == 1
    assert "--config: control: 'gradul' is not in grid.regimes; add it there or choose another" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    "name", ["resnet19", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gradul", "seedx"))]
)
def test_mistyped_target_is_rejected(snakemake, name):
    parts = {"model": "resnet18", "regime": "gradual", "seed": "seed0"}
    parts |= {"resnet19": {"model": name}, "gradul": {"regime": name}, "seedx": {"seed": name}}[name]
    target = "results/cells/micrographs/{model}/{regime}/{seed}/metrics.json".format(**parts)
    done = snakemake("--dry-run", target, check=False)
    assert done.returncode != 0
    assert "MissingRuleException" in done.output


def test_rule_graph_in_the_docs_is_up_to_date(snakemake):
    done = snakemake("--rulegraph", "dot")
    graph = done.stdout[done.stdout.index("digraph") :]
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)', graph, re.MULTILINE))
    edges = {(names[a], names[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)", graph, re.MULTILINE)}
    svg = (ROOT / "docs" / "rulegraph.svg").read_text()
    shown = dict(re.findall(r"<title>(\d+)</title>.*?<text [^>]*>(\w+)</text>", svg, re.DOTALL))
    drawn = re.findall(r"<title>(\d+)&#45;&gt;(\d+)</title>", svg)
    assert set(shown.values()) == set(names.values())
    assert {(shown[a], shown[b]) for a, b in drawn} == edges
    assert len(edges) > 20
