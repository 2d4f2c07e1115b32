"""Locks of GPUs: a program called nvidia-smi simulates the GPUs that are missing here; processes and locks are real."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from entr.devices import gpu_lock

PROGRAM = """
import logging, os, pathlib, sys
from entr.devices import gpu_lock
# the simulated GPUs of other tests have the same identifiers
gpu_lock.SHARED_MEMORY = pathlib.Path(os.environ["TMPDIR"])
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
print(gpu_lock.acquire_gpu(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Function that simulates a number of GPUs."""

    def make(count):
        program = tmp_path / "nvidia-smi"
        lines = "\n".join(f"{number}, GPU-{number:04d}" for number in range(count))
        program.write_text(f"#!/bin/sh\ncat <<END\n{lines}\nEND\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.delenv(gpu_lock.VISIBLE, raising=False)

    return make


@pytest.fixture
def job():
    """Function that starts a process which locks a GPU and keeps it."""
    started = []

    def start():
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_each_job_has_its_own_gpu(gpus, job):
    gpus(4)
    found = [job().stdout.readline().strip() for _ in range(4)]
    assert sorted(found) == ["GPU-0000", "GPU-0001", "GPU-0002", "GPU-0003"]


def test_job_waits_for_the_only_gpu_until_its_holder_is_killed(gpus, job):
    gpus(1)
    first, second = job(), None
    assert first.stdout.readline().strip() == "GPU-0000"
    second = job()
    assert second.stdout.readline().strip() == "GPU lock: waiting for GPU-0000, used by another timed job"
    first.send_signal(signal.SIGKILL)
    assert second.stdout.readline().strip() == "GPU-0000"


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ("2", ["GPU-0002"]),
        ("1,0", ["GPU-0001", "GPU-0000"]),
        ("GPU-0003", ["GPU-0003"]),
        ("0,7,1", ["GPU-0000"]),
        ("MIG-abc", ["MIG-abc"]),
        ("", []),
        ("-1", []),
    ],
)
def test_only_gpus_that_the_scheduler_allows_are_used(gpus, monkeypatch, allowed, expected):
    gpus(4)
    monkeypatch.setenv(gpu_lock.VISIBLE, allowed)
    assert gpu_lock.visible_gpus() == expected


def test_without_a_gpu_there_is_no_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_lock.acquire_gpu() is None


def test_process_that_has_a_gpu_keeps_it(gpus):
    gpus(1)
    program = f"{PROGRAM.replace('sys.stdin.read()', '')}print(gpu_lock.acquire_gpu(), flush=True)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    assert done.stdout.split() == ["GPU-0000", "GPU-0000"]


def test_failing_nvidia_smi_is_logged_and_no_gpu_is_locked(gpus, tmp_path, caplog):
    gpus(1)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    assert gpu_lock.visible_gpus() == []
    assert "nvidia-smi failed" in caplog.text


def test_locks_are_in_shared_memory_or_else_in_the_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert gpu_lock.lock_folder() == gpu_lock.SHARED_MEMORY
    monkeypatch.setattr(gpu_lock, "SHARED_MEMORY", tmp_path / "absent")
    assert gpu_lock.lock_folder() == tmp_path
