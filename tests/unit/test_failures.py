"""What is said of failed jobs; the log is as snakemake 9 writes it, see tests/faults and tests/slurm for real ones."""

import os
import time

import pytest

from entr import failures

LOG = """
[Mon Nov 23 14:13:38 2026]
Error in rule train:
    message: SLURM-job '7' failed, SLURM status is: 'CANCELLED'. Reason: Unknown.
    jobid: 2
    input: results/data/ucm/pixels.npy
    output: results/cells/ucm/resnet18/gradual/seed3/metrics.json, results/cells/ucm/resnet18/gradual/seed3/history.csv
    log: results/logs/train/ucm/resnet18/gradual/seed3.log, /x/7.log (check log file(s) for error details)
    slurm_jobid: 7
Trying to restart job 2.
    [Mon Nov 23 14:14:38 2026]
    Error in rule draw:
        message: None
        jobid: 9
        output: results/figures/fig4.html
        log: results/logs/draw/fig4.log (check log file(s) for error details)
Exiting because a job execution failed. Look above for error messages
"""
WORDS = ["results/verdict.md", "--cores", "1", "--configfile", "my own.yaml"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder after a run with two failed jobs, of which only one has begun."""
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "results/logs/train/ucm/resnet18/gradual/seed3.log"
    log.parent.mkdir(parents=True)
    log.write_text("2026-11-23 14:00:00,000 INFO ucm resnet18 gradual seed 3: sgdr\n")
    (tmp_path / "log").write_text(LOG)
    return log


def summary(since=0.0):
    return failures.summary(["log"], since, WORDS, {"results/verdict.md"})


def test_a_failed_cell_is_named_with_its_reason_and_the_command_that_makes_it(run):
    run.write_text(run.read_text() + "2026-11-23 14:01:00,000 ERROR no GPU here; do this\nTraceback (most recent …\n")
    (found,) = summary()
    assert found.splitlines() == [
        "train ucm resnet18 gradual seed3",
        "  why:   no GPU here; do this",
        "  log:   results/logs/train/ucm/resnet18/gradual/seed3.log, /x/7.log",
        "  again: snakemake results/cells/ucm/resnet18/gradual/seed3/metrics.json --cores 1 --configfile 'my own.yaml'",
    ]


@pytest.mark.usefixtures("run")
def test_of_a_killed_job_the_last_words_and_the_state_of_slurm_are_told():
    (found,) = summary()
    assert "killed, cancelled, or out of time or memory; the last line of its log: 2026" in found
    assert "SLURM status is: 'CANCELLED'" in found


def test_the_log_of_an_earlier_run_is_no_reason(run):
    os.utime(run, (1, 1))
    train, draw = summary(since=time.time() - 60)
    assert "why:   SLURM-job '7' failed" in train
    assert "why:   it never began" in draw


@pytest.mark.usefixtures("run")
def test_a_job_that_passed_in_a_later_attempt_has_not_failed(tmp_path):
    folder = tmp_path / "results/cells/ucm/resnet18/gradual/seed3"
    folder.mkdir(parents=True)
    for name in ("metrics.json", "history.csv"):
        (folder / name).touch()
    (found,) = summary()
    assert found.startswith("draw fig4")


def test_all_are_written_down_and_the_first_shown(tmp_path):
    path = tmp_path / "results" / "failed.txt"
    told = failures.tell([f"cell {number}" for number in range(30)], path)
    assert told.strip().startswith("30 jobs failed")
    assert str(path) in told
    assert ("cell 19" in told, "cell 20" in told) == (True, False)
    assert len(path.read_text().splitlines()) == 30


def test_after_a_run_without_failures_nothing_is_told_of_those_before(tmp_path):
    path = tmp_path / "failed.txt"
    path.write_text("cell 1")
    assert failures.tell([], path) == ""
    assert not path.exists()
