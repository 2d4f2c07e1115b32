"""Limits that this machine does not have are simulated: a full disk, a read-only folder, a container."""

import multiprocessing
import os
import shutil
from collections import namedtuple
from pathlib import Path

import joblib
import psutil
import pytest

from entr.preflight import machine

Usage = namedtuple("Usage", "total used free")


def test_more_cores_than_there_are_is_a_warning_with_the_option_that_helps():
    usable = joblib.cpu_count()
    assert machine.check_cores(usable).status == "ok"
    finding = machine.check_cores(usable + 1)
    assert finding.status == "warning"
    assert f"`--cores {usable}`" in finding.remedy


def test_affinity_of_the_process_limits_its_cores():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.check_cores(2).detail.startswith("a run uses 2, but only 1 ")
    finally:
        os.sched_setaffinity(0, before)


def test_cell_that_exceeds_the_memory_is_a_problem():
    finding = machine.check_memory(2 * psutil.virtual_memory().total, on_gpu=False)
    assert finding.status == "problem"
    assert "gradient_accumulation" in finding.remedy


def test_freed_memory_that_a_cpu_retains_is_taken_into_account():
    needed = psutil.virtual_memory().available * 3 // 4
    assert machine.check_memory(needed, on_gpu=False).status == "warning"
    assert machine.check_memory(needed, on_gpu=True).status == "ok"


def test_memory_limit_of_a_container_counts(monkeypatch):
    monkeypatch.setattr(machine, "cgroup_memory_limits", lambda: [10**9])
    assert machine.check_memory(2 * 10**9, on_gpu=False).status == "problem"


@pytest.mark.parametrize(
    ("membership", "file", "parent"),
    [
        ("0::/user/job\n", "user/job/memory.max", "user/memory.max"),
        ("3:cpu:/other\n4:memory:/job\n0::/\n", "memory/job/memory.limit_in_bytes", "memory/memory.limit_in_bytes"),
    ],
    ids=["version 2", "version 1"],
)
def test_memory_limits_of_a_control_group_and_its_parents_are_found(tmp_path, membership, file, parent):
    (tmp_path / "member").write_text(membership)
    for name, limit in ((file, "1000\n"), (parent, "3000\n")):
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(limit)
    assert sorted(machine.cgroup_memory_limits(tmp_path / "groups", tmp_path / "member")) == [1000, 3000]
    (tmp_path / "groups" / file).write_text("max\n")
    assert list(machine.cgroup_memory_limits(tmp_path / "groups", tmp_path / "member")) == [3000]


def test_machine_without_control_groups_has_no_limits(tmp_path):
    assert list(machine.cgroup_memory_limits(tmp_path, tmp_path / "missing")) == []


def test_disk_that_is_too_small_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 9 * 10**8, 10**8))
    assert machine.check_disk(tmp_path, 10**8).status == "ok"
    finding = machine.check_disk(tmp_path, 2 * 10**8, ("steel",))
    assert finding.status == "problem"
    assert "100.0 MB free" in finding.detail
    assert finding.detail.endswith("the grid takes 200.0 MB more, without the images of steel")


def test_folder_without_write_permission_is_named(tmp_path, monkeypatch):
    """Simulated, because root, who may run the tests, has all permissions."""
    (tmp_path / "tables").mkdir()
    assert [finding.status for finding in machine.check_permissions(tmp_path)] == ["ok"]
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path / "tables")
    (finding,) = machine.check_permissions(tmp_path)
    assert finding.status == "problem"
    assert finding.detail == f"no permission to write to {tmp_path / 'tables'}"


def test_missing_output_cache_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv(machine.OUTPUT_CACHE, str(tmp_path / "absent"))
    (finding,) = machine.check_permissions(tmp_path)
    assert finding.status == "warning"
    monkeypatch.setenv(machine.OUTPUT_CACHE, str(tmp_path))
    assert [one.status for one in machine.check_permissions(tmp_path)] == ["ok"]


def test_missing_shared_memory_is_a_problem(tmp_path, monkeypatch):
    """Simulated, because /dev/shm of this machine cannot be removed."""

    class Context:
        def Lock(self):  # noqa: N802  named by multiprocessing
            raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(multiprocessing, "get_context", Context)
    (finding,) = machine.check_permissions(tmp_path)
    assert finding.status == "problem"
    assert "/dev/shm" in finding.remedy
