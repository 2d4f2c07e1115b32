"""The age of a process, and how it is measured."""

import subprocess
import sys
import time

import pytest

from entr.jobs.paths import SCRIPTS
from entr.jobs.process import process_age

PROGRAM = "import time; time.sleep(1); from entr.jobs.process import process_age; print(process_age())"


def test_age_counts_from_the_start_of_the_process():
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAM], env={"PYTHONPATH": str(SCRIPTS)}, capture_output=True)
    assert 1 <= float(done.stdout) <= time.perf_counter() - begin + 0.1


@pytest.mark.parametrize("hours", [-30, 30])
def test_setting_the_clock_does_not_change_the_age(monkeypatch, hours):
    before, now = process_age(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600 * hours)
    assert process_age() == pytest.approx(before, abs=5)


def test_name_of_a_program_may_contain_spaces_and_parentheses(tmp_path):
    program = tmp_path / "a) 1 2 (b"
    program.symlink_to(sys.executable)
    done = subprocess.run([program, "-c", PROGRAM], env={"PYTHONPATH": str(SCRIPTS)}, capture_output=True)
    assert 1 <= float(done.stdout) < 60
