"""GPU locks between processes; the processes, the locks and nvidia-smi are real."""

import subprocess
import sys

import pytest
from gpu.cells import subprocess_environment

from entr.devices import gpu_lock, torch_device

LOCK_HOLDER = """
import logging, sys, tempfile
from pathlib import Path
from entr.devices import gpu_lock
# the test process holds the GPU lock in /dev/shm
gpu_lock.SHARED_MEMORY = Path(tempfile.gettempdir())
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
print(gpu_lock.acquire_gpu(), flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.needs_gpu


@pytest.fixture
def start_holder(tmp_path):
    """Return a function that starts a process which locks a GPU, prints its identifier and keeps it."""
    processes = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", LOCK_HOLDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=subprocess_environment(tmp_path),
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.time_limit(20)
def test_acquiring_twice_returns_the_same_gpu(record_finding):
    gpu = gpu_lock.acquire_gpu()
    assert gpu
    assert gpu_lock.acquire_gpu() == gpu
    assert torch_device.choose_device("auto").type == torch_device.choose_device("cuda").type == "cuda"
    record_finding(gpu)


@pytest.mark.time_limit(60)
def test_job_waits_for_a_gpu_until_the_lock_holder_is_killed(start_holder):
    gpus = gpu_lock.visible_gpus()
    holders = [start_holder() for _ in gpus]
    assert sorted(holder.stdout.readline().strip() for holder in holders) == sorted(gpus)
    waiting = start_holder()
    assert "waiting for" in waiting.stdout.readline()
    holders[0].kill()
    assert waiting.stdout.readline().strip() in gpus
