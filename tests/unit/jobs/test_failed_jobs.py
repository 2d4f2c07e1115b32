"""Descriptions of failed jobs. The log is in the format of Snakemake 9; tests/faults and tests/slurm use real ones."""

import os
from pathlib import Path

import pytest

from entr.jobs import failed_jobs

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
    Error in rule plot_figure:
        message: None
        jobid: 9
        output: results/figures/fig4_efficiency.html
        log: results/logs/plot_figure/fig4_efficiency.log (check log file(s) for error details)
Exiting because a job execution failed. Look above for error messages
"""
ARGUMENTS = ["results/verdict.md", "-c", "1", "--configfile", "my own.yaml"]


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The log of the only job that started, of two that failed, in the working directory of the run."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results/logs/train/ucm/resnet18/gradual/seed3.log"
    path.parent.mkdir(parents=True)
    path.write_text("2026-11-23 14:00:00,000 INFO ucm resnet18 gradual seed 3: sgdr\n")
    (tmp_path / "log").write_text(LOG)
    return path


def describe(before=None):
    return failed_jobs.describe_failures(["log"], before or {}, ARGUMENTS)


def test_failed_cell_is_described_by_reason_logs_and_rerun_command(log):
    log.write_text(log.read_text() + "2026-11-23 14:01:00,000 ERROR no GPU here; do this\nTraceback (most recent …\n")
    (description,) = describe()
    assert description.splitlines() == [
        "train ucm resnet18 gradual seed3",
        "  reason: no GPU here; do this",
        "  log:    results/logs/train/ucm/resnet18/gradual/seed3.log, /x/7.log",
        "  rerun:  snakemake results/cells/ucm/resnet18/gradual/seed3/metrics.json -c 1 --configfile 'my own.yaml'",
    ]


@pytest.mark.usefixtures("log")
def test_failed_rule_without_output_is_rerun_by_its_name():
    Path("log").write_text("Error in rule progress:\n    jobid: 0\n    log: results/logs/progress.log\n")
    (description,) = describe()
    assert description.endswith("rerun:  snakemake progress -c 1 --configfile 'my own.yaml'")


@pytest.mark.usefixtures("log")
def test_killed_job_is_described_by_its_last_log_line_and_the_state_of_slurm():
    (description,) = describe()
    assert "killed, cancelled, or out of time or memory; last line of its log: 2026" in description
    assert "SLURM status is: 'CANCELLED'" in description


@pytest.mark.usefixtures("log")
def test_log_of_an_earlier_run_is_ignored():
    train, plot = describe(failed_jobs.modification_times("results/logs"))
    assert "reason: SLURM-job '7' failed" in train
    assert "reason: the job never started" in plot


@pytest.mark.parametrize("hours", [-3, 3])
def test_log_written_after_the_clock_was_set_is_of_this_run(log, hours):
    before = failed_jobs.modification_times("results/logs")
    log.write_text(log.read_text() + "2026-11-23 11:01:00,000 ERROR no GPU here; do this\n")
    written = log.stat().st_mtime + 3600 * hours
    os.utime(log, (written, written))
    (description,) = describe(before)
    assert "reason: no GPU here; do this" in description


@pytest.mark.usefixtures("log")
def test_job_that_succeeded_in_a_later_attempt_has_not_failed(tmp_path):
    (tmp_path / "log").write_text(LOG + "[Mon Nov 23 14:20:38 2026]\nFinished jobid: 2 (Rule: train)\n")
    (description,) = describe()
    assert description.startswith("plot_figure fig4_efficiency\n")


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("has_started", [False, True])
def test_job_that_never_started_has_failed_although_its_earlier_outputs_exist(tmp_path, has_started):
    folder = tmp_path / "results/cells/ucm/resnet18/gradual/seed3"
    folder.mkdir(parents=True)
    for name in ("metrics.json", "history.csv"):
        (folder / name).touch()
    described = describe({} if has_started else failed_jobs.modification_times("results/logs"))
    # Snakemake reports all jobs of a group as failed, those that finished too
    assert described[0].startswith("plot_figure" if has_started else "train ucm resnet18 gradual seed3\n")


def test_job_that_failed_in_every_attempt_is_described_once_by_the_last():
    again = LOG.replace("'CANCELLED'", "'TIMEOUT'")
    train, _ = failed_jobs.parse_log(LOG + again)
    assert "TIMEOUT" in train.message


def test_all_failures_are_written_and_the_first_twenty_printed(tmp_path):
    path = tmp_path / "results" / "failed_jobs.txt"
    printed = failed_jobs.write_failures([f"cell {number}" for number in range(30)], path)
    assert printed.strip().startswith(f"30 jobs failed. All of them are listed in {path}. Fix the cause")
    assert ("cell 19" in printed, "cell 20" in printed) == (True, False)
    assert len(path.read_text().splitlines()) == 30


def test_unwritable_list_of_failures_is_mentioned(tmp_path):
    (tmp_path / "results").write_text("a file in place of the directory")
    printed = failed_jobs.write_failures(["cell 1"], tmp_path / "results" / "failed_jobs.txt")
    assert "failed_jobs.txt could not be written (" in printed
    assert "1 job failed." in printed


def test_list_of_an_earlier_run_is_removed_after_a_run_without_failures(tmp_path):
    path = tmp_path / "failed_jobs.txt"
    path.write_text("cell 1")
    assert failed_jobs.write_failures([], path) == ""
    assert not path.exists()
