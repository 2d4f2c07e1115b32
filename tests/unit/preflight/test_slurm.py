"""Partitions of SLURM: a program called sinfo simulates the cluster that is missing here."""

import os

import pytest

from entr.preflight import slurm

PARTITIONS = {"train": "gpu", "downscale": "cpu", "render_report": None}


@pytest.fixture
def sinfo(tmp_path, monkeypatch):
    """Function that simulates the program."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")

    def make(*lines, script=""):
        program = tmp_path / "sinfo"
        program.write_text("#!/bin/sh\n" + (script or "\n".join(f"echo '{line}'" for line in lines)) + "\n")
        program.chmod(0o755)

    return make


def status(partitions=PARTITIONS):
    (finding,) = slurm.check_slurm(partitions)
    return finding.status


def test_machine_without_slurm_is_not_mentioned_unless_it_is_configured(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.check_slurm({"train": None}) == []
    (finding,) = slurm.check_slurm(PARTITIONS)
    assert finding.status == "problem"
    assert "slurm_partition is cpu, gpu, but there is no sinfo here" in finding.detail


def test_partitions_of_the_cluster_are_found(sinfo):
    sinfo("cpu|(null)", "gpu|gpu:a100:4", "gpu|(null)")
    assert status() == "ok"
    (finding,) = slurm.check_slurm({"train": None})
    assert finding.detail == "partitions cpu, gpu; to use them, add --workflow-profile profiles/slurm"


def test_unknown_partition_is_a_problem_that_lists_those_of_the_cluster(sinfo):
    sinfo("main|(null)", "gpu|gpu:1")
    (finding,) = slurm.check_slurm(PARTITIONS)
    assert finding.status == "problem"
    assert finding.detail == "unknown partition cpu; the cluster has main, gpu"


def test_cells_need_a_partition_with_a_gpu(sinfo):
    sinfo("cpu|(null)", "gpu|(null)")
    assert status() == "problem"
    sinfo("cpu|(null)", "gpu|gpu:1")
    assert status({"train": "gpu"}) == "ok"


def test_controller_that_is_down_is_a_problem_for_a_run_on_slurm_only(sinfo):
    sinfo(script="echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    (finding,) = slurm.check_slurm(PARTITIONS)
    assert finding.status == "problem"
    assert "sinfo fails (slurm_load_partitions: Unable to contact" in finding.detail
    assert status({"train": None}) == "ok"


def test_quoted_names_and_lists_are_understood_and_expressions_are_left_to_snakemake(sinfo):
    sinfo("long|(null)", "gpu-a|gpu:1", "gpu-b|gpu:1")
    assert status({"train": "'gpu-a'", "downscale": "long", "split": "'long' if attempt > 1 else 'short'"}) == "ok"
    assert status({"train": "gpu-a,gpu-b"}) == "ok"
    assert status({"train": "gpu-a,gpu-c"}) == "problem"
