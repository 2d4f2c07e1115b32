"""Cards are made up by a program called nvidia-smi, for there is none here; processes and locks are real."""

import os
import signal
import subprocess
import sys

import pytest

from entr import gpus

PROGRAM = """
import logging, sys
from entr import gpus
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
print(gpus.take(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cards(tmp_path, monkeypatch):
    """Make up so many cards."""

    def make(count):
        program = tmp_path / "nvidia-smi"
        lines = "\n".join(f"{number}, GPU-{number:04d}" for number in range(count))
        program.write_text(f"#!/bin/sh\ncat <<END\n{lines}\nEND\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.delenv(gpus.VISIBLE, raising=False)

    return make


@pytest.fixture
def job():
    """Start a process that takes a card and keeps it."""
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


def test_each_job_has_a_card_of_its_own(cards, job):
    cards(4)
    found = [job().stdout.readline().strip() for _ in range(4)]
    assert sorted(found) == ["GPU-0000", "GPU-0001", "GPU-0002", "GPU-0003"]


def test_a_job_waits_for_the_only_card_and_says_so_until_its_holder_is_killed(cards, job):
    cards(1)
    first, second = job(), None
    assert first.stdout.readline().strip() == "GPU-0000"
    second = job()
    assert second.stdout.readline().strip() == "another job is timed on GPU-0000; waiting for a free GPU"
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
def test_only_cards_that_the_scheduler_allows_are_taken(cards, monkeypatch, allowed, expected):
    cards(4)
    monkeypatch.setenv(gpus.VISIBLE, allowed)
    assert gpus.visible() == expected


def test_without_a_card_there_is_nothing_to_take(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.take() is None
