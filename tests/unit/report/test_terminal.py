import io
import json
import logging
import shlex

import pytest
import simulated
from factories import metrics, with_final_stage
from rich.console import Console
from snakemake_interface_logger_plugins.common import LogEvent

from entr.jobs.tables import write_table
from entr.report import terminal
from entr.report.answer import SEEDS_COMMAND
from entr.report.terminal import GridProgress, TerminalHandler

CELLS = {
    "cells/no-increase/seed0/metrics.json": ("resnet18", "no-increase"),
    "cells/gradual/seed0/metrics.json": ("resnet18", "gradual"),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that shows events in a directory of results, and returns what was printed."""
    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()
    handler = TerminalHandler(stream, CELLS)

    def show(*records):
        for values in records:
            level = values.pop("level", logging.INFO)
            record = logging.LogRecord("snakemake", level, "", 0, values.pop("msg", ""), (), None)
            vars(record).update(values)
            handler.handle(record)
        return stream.getvalue().splitlines()

    show.handler = handler
    return show


def started(number, rule, message="", output=(), log=(), **wildcards):
    return {
        "event": LogEvent.JOB_INFO,
        "jobid": number,
        "rule_name": rule,
        "rule_msg": message,
        "wildcards": wildcards,
        "output": list(output),
        "log": list(log),
    }


def planned(**jobs):
    return {"event": LogEvent.RUN_INFO, "stats": jobs}


def finished(number):
    return {"event": LogEvent.JOB_FINISHED, "job_id": number}


def train(number, regime, folder):
    path = f"cells/{regime}/seed0/metrics.json"
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_text(with_final_stage(metrics(regime, 0, accuracy=0.75)).model_dump_json())
    wildcards = {"dataset": "ucm", "model": "resnet18", "regime": regime, "seed": "0"}
    return started(number, "train", output=[path], **wildcards)


def test_each_stage_is_announced_once_and_small_jobs_are_not(run):
    lines = run(
        started(1, "downscale", dataset="ucm"),
        started(2, "split", dataset="ucm", seed="0"),
        started(3, "plot_figure", figure="effects"),
        started(4, "plot_figure", figure="accuracy"),
        finished(2),
    )
    assert lines == ["ucm: downscaling images", "plotting the figures"]


def test_finished_cell_states_its_result_and_the_progress_of_the_grid(run, tmp_path):
    run(planned(train=2))
    events = [train(1, "no-increase", tmp_path), finished(1), train(2, "gradual", tmp_path), finished(2)]
    first, second = run(*events)
    assert first.startswith("ucm resnet18 no-increase seed 0: A 75.0 %, T ")
    assert "(cell 1 of 2, " in first
    assert first.endswith(" left)")
    assert second.endswith("(cell 2 of 2)")


def test_outdated_cells_that_are_trained_again_count(run, tmp_path):
    cells = [train(number, regime, tmp_path) for number, regime in enumerate(("no-increase", "gradual"))]
    first, second = run(planned(train=2), cells[0], finished(0), cells[1], finished(1))
    assert "(cell 1 of 2, 50 % of the work, about " in first
    assert second.endswith("(cell 2 of 2)")


def test_warning_in_the_logs_of_several_jobs_is_shown_once(run, tmp_path):
    time = "2026-11-26 12:00:00,000"
    line = f"{time} WARNING {{}} gradual seed {{}}: no GPU\n{time} WARNING x.py:1: UserWarning: y\n"
    for seed in (0, 1):
        (tmp_path / f"{seed}.log").write_text(line.format("ucm resnet18", seed))
    cell = {"dataset": "ucm", "model": "resnet18", "regime": "gradual"}
    jobs = [started(seed, "train", log=[f"{seed}.log"], **cell, seed=str(seed)) for seed in (0, 1)]
    for job in jobs:
        job["output"] = ["cells/gradual/seed0/metrics.json"]
    (tmp_path / "cells/gradual/seed0").mkdir(parents=True)
    (tmp_path / "cells/gradual/seed0/metrics.json").write_text(
        with_final_stage(metrics("gradual", 0, accuracy=0.75)).model_dump_json()
    )
    lines = run(jobs[0], finished(0), jobs[1], finished(1))
    assert [one for one in lines if one.startswith("warning")] == ["warning: no GPU"]


def test_many_warnings_of_a_job_are_counted(run, tmp_path):
    text = "".join(f"2026-11-26 12:00:00,000 WARNING image {number}: rejected\n" for number in range(9))
    (tmp_path / "job.log").write_text(text)
    lines = run(started(1, "downscale", dataset="ucm", log=["job.log"]), finished(1))
    assert len(lines) == 1 + terminal.WARNINGS_PER_JOB + 1
    assert lines[-1] == "warning: 6 more in job.log"


def test_lines_are_cut_to_the_width(run):
    assert [len(line) for line in run(started(1, "fetch_archive", dataset="d" * 200))] == [terminal.WIDTH]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"msg": "Building DAG of jobs..."}, False),
        ({"msg": "Config file config.yaml is extended by additional config specified via the command line."}, False),
        ({"msg": "Nothing to be done (all requested files are present and up to date)."}, True),
        ({"msg": "rule x is eligible for caching between workflows"}, False),
        ({"msg": "Job 3 has been submitted with SLURM jobid 17"}, True),
        ({"msg": "Directory cannot be locked.", "event": LogEvent.ERROR}, True),
        ({"msg": "reason: missing output files", "event": LogEvent.JOB_INFO}, False),
        ({"msg": "Job stats:", "event": LogEvent.RUN_INFO}, False),
    ],
)
def test_messages_of_snakemake_are_shown_if_they_concern_a_person(values, shown):
    record = logging.makeLogRecord(values)
    assert terminal.concerns_a_person(record) == shown


def test_failed_job_is_named_by_its_message(run):
    lines = run(started(3, "split", "splitting ucm, seed 0"), {"event": LogEvent.JOB_ERROR, "jobid": 3})
    assert lines == ["failed: splitting ucm, seed 0"]


def test_status_line_exists_in_a_terminal_only(run):
    run(started(1, "split", "splitting ucm"))
    assert run.handler.status is None
    terminal_handler = TerminalHandler(io.StringIO(), CELLS)
    terminal_handler.console = Console(file=io.StringIO(), force_terminal=True, width=60)
    run.handler.console = terminal_handler.console
    run(started(2, "split", "splitting bees"), {"event": LogEvent.PROGRESS, "done": 1, "total": 5})
    assert run.handler.status is not None
    run.handler.close()
    assert run.handler.status is None


def test_time_left_uses_the_mean_of_the_same_model_and_regime():
    grid = GridProgress(4)
    grid.add("resnet18", "no-increase", 100.0)
    grid.add("resnet18", "gradual", 50.0)
    pending = [("resnet18", "gradual"), ("resnet50", "gradual")]
    assert grid.seconds_left(pending) == 50 + 75
    assert grid.seconds_left([]) == 75 + 75
    assert grid.describe(pending) == "cell 2 of 4, 55 % of the work, about 2 min left"
    assert GridProgress(4).describe(pending) == "cell 0 of 4"


def test_output_of_snakemake_is_filtered_only_if_it_goes_to_the_terminal():
    logger = logging.Logger("test")
    assert terminal.install(logger, io.StringIO(), {}) is None
    default = logging.StreamHandler(io.StringIO())
    default.name = "DefaultStreamHandler"
    logger.addHandler(default)
    assert terminal.install(logger, io.StringIO(), {}) in logger.handlers
    logger.info("Building DAG of jobs...")
    logger.info("Nothing to be done")
    assert default.stream.getvalue() == "Nothing to be done\n"


@pytest.mark.parametrize(
    ("issues", "counted"),
    [
        (0, "0 of 3 images misclassified; none appears to be mislabelled"),
        (1, "1 of 4 images misclassified; 1 may be mislabelled"),
        (4, "4 of 7 images misclassified; too many to tell which are mislabelled"),
    ],
)
def test_summary_has_the_answer_the_report_the_errors_and_the_model(tmp_path, monkeypatch, issues, counted):
    monkeypatch.chdir(tmp_path)
    answer, pages = tmp_path / "answer.txt", ["errors/ucm.html"]
    answer.write_text("Starting on small images saved 25 % of the training time.\n")
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "ucm.csv").write_text(
        "label,predicted,label_issue\n" + 3 * "a,a,False\n" + issues * "a,b,True\n"
    )
    lines = terminal.summarise_run(answer, "results/report.html", pages, ["results/models/ucm"]).splitlines()
    assert lines[1] == "Starting on small images saved 25 % of the training time."
    assert "results/report.html" in lines[3]
    assert lines[4] == f"The errors:  {pages[0]} ({counted})"
    assert "results/models/ucm" in lines[5]
    assert max(map(len, lines)) <= terminal.WIDTH


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "snakemake --config seeds=6"),
        (["--configfile", "my study.yaml"], "snakemake --configfile 'my study.yaml' --config seeds=6"),
        (["--config", "images=photos", "--cores", "2"], "snakemake --config seeds=6 images=photos --cores 2"),
        (["--config", "seeds=3"], "snakemake --config seeds=6"),
    ],
)
def test_command_that_adds_seeds_repeats_the_options_of_the_run(options, expected, tmp_path):
    answer = tmp_path / "answer.txt"
    answer.write_text(f"Undecided.\n    {SEEDS_COMMAND.format(seeds=6)}\n")
    lines = terminal.summarise_run(answer, "results/report.html", [], [], options).splitlines()
    assert lines[2] == f"    {expected}"


def test_command_that_adds_seeds_keeps_the_scale_that_fitted_into_the_budget(tmp_path):
    answer = tmp_path / "answer.txt"
    answer.write_text(f"Undecided.\n    {SEEDS_COMMAND.format(seeds=6)}\n")
    options = ["--config", "images=photos", "hours=0.5"]
    lines = terminal.summarise_run(
        answer, "report.html", [], [], options, hours=0.5, scale=0.6, seconds=900
    ).splitlines()
    assert lines[2] == "    snakemake --config seeds=6 scale=0.6 hours=null images=photos"
    assert lines[-1] == "The budget:  0.5 h, of which this run took 0.25 h"


def test_long_command_is_continued_on_further_lines(tmp_path):
    images = "/photos/" + 8 * "long name "
    options = ["--cores", "2", "--config", f"images={images}", "weights=none", "--configfile", "a study.yaml"]
    answer = tmp_path / "answer.txt"
    answer.write_text(f"Undecided.\n    {SEEDS_COMMAND.format(seeds=6)}\n")
    lines = terminal.summarise_run(answer, "results/report.html", [], [], options).splitlines()[2:-2]
    assert len(lines) > 1
    assert max(map(len, lines)) <= terminal.WIDTH
    arguments = shlex.split(" ".join(line.removesuffix("\\") for line in lines))
    assert arguments == ["snakemake", *options[:3], "seeds=6", *options[3:]]


def test_summary_has_the_accuracy_on_test_images(tmp_path):
    answer, model = tmp_path / "answer.txt", tmp_path / "model"
    answer.write_text("Saved 25 %.\n")
    model.mkdir()
    (model / "test.json").write_text(json.dumps({"images": 60, "accuracy": 0.85, "low": 0.739, "high": 0.919}))
    lines = terminal.summarise_run(answer, "results/report.html", [], [str(model)]).splitlines()
    assert lines[-1].strip() == "accuracy 85.0 % [73.9 to 91.9] on 60 held-out test images"


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (1, "on the Pareto front: "),
        (4, "on the Pareto front in most bootstrap draws: "),
    ],
)
def test_summary_names_the_regimes_on_the_pareto_front(tmp_path, seeds, expected):
    regimes = ("no-increase", "gradual", *(f"a regime with a long name {number}" for number in range(10)))
    fronts = simulated.grid(regimes=regimes, models=("resnet18",), seeds=seeds)["pareto_front"]
    write_table(fronts, tmp_path / "pareto_front.csv")
    answer = tmp_path / "answer.txt"
    answer.write_text("Saved 25 %.\n")
    text = terminal.summarise_run(answer, "results/report.html", [], [], fronts=tmp_path / "pareto_front.csv")
    lines = text.splitlines()[4:]
    assert lines[0].startswith(f"The regimes: {expected}")
    assert lines[-1].endswith("(results/recommendation.md)")
    assert max(map(len, lines)) <= terminal.WIDTH
    final = fronts.query("scope == 'all' and stage == 'total-tta' and time_basis == 'training'")
    named = " ".join(line.strip() for line in lines)
    on_front = final["on_front"] if seeds == 1 else final["front_share"] >= 0.5
    assert [regime in named for regime in final["regime"]] == on_front.tolist()


def test_summary_without_pareto_front_names_no_regime(tmp_path):
    (tmp_path / "pareto_front.csv").write_text("\n")
    (tmp_path / "answer.txt").write_text("Saved 25 %.\n")
    text = terminal.summarise_run(
        tmp_path / "answer.txt", "results/report.html", [], [], fronts=tmp_path / "pareto_front.csv"
    )
    assert "regimes" not in text
