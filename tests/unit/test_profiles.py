"""The profiles for SLURM name rules, which nothing else checks."""

import re

import pytest
import yaml
from conftest import ROOT

RULES = {
    name: body
    for path in (ROOT / "workflow" / "rules").glob("*.smk")
    for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", path.read_text(), re.MULTILINE)
}
ON_REQUEST = {"progress", "web_page", "compare_runs", "ro_crate", "paper"}
"""Rules that the report does not need."""


@pytest.fixture(params=["slurm", "slurm-groups"])
def profile(request):
    return yaml.safe_load((ROOT / "profiles" / request.param / "config.yaml").read_text())


def test_every_rule_that_needs_a_gpu_has_a_gpu_partition(profile):
    on_gpu = {name for name, body in RULES.items() if re.search(r"^        gpu=1,$", body, re.MULTILINE)}
    assert "train" in on_gpu
    partitions = {rule for rule, values in profile["set-resources"].items() if values.get("slurm_partition") == "gpu"}
    assert partitions == on_gpu


def test_all_tables_figures_and_the_report_are_one_job(profile):
    """A rule outside of the group that needs one inside, and is needed by another, would split the group."""
    text = "".join((ROOT / f"workflow/rules/{name}.smk").read_text() for name in ("analysis", "figures"))
    expected = {*re.findall(r"^rule (\w+):", text, re.MULTILINE), "render_report"}
    assert {rule for rule, group in profile["groups"].items() if group == "report"} == expected - ON_REQUEST


def test_profile_for_groups_differs_in_the_training_of_cells_only():
    first, second = (
        yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text()) for name in ("slurm", "slurm-groups")
    )
    assert second["groups"] == first["groups"] | {"train": "cells"}
    assert second["set-resources"].pop("train").keys() > first["set-resources"].pop("train").keys()
    assert second["set-resources"] == first["set-resources"]
    assert second["group-components"]["splits"] == first["group-components"]["splits"]
