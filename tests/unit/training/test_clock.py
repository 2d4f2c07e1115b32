"""Times of a cell while the system clock is set, as after a suspension or by NTP."""

import datetime
import itertools
import json
import os
import re
import shutil
import time

import pandas as pd
import pytest

from entr.config.regimes import Regime
from entr.config.training import LearningRateFinder, Phase, Training
from entr.config.training_plan import Plan
from entr.jobs.errors import EntrError
from entr.jobs.paths import PACKAGE
from entr.jobs.system_clock import refuse_files_from_the_future
from entr.metrics.cell_metrics import Cell
from entr.training import trainer
from entr.training.cell import train_cell

PLAN = Plan.of(
    Training(
        phases={"sgdr": Phase(cycle_length=2), "rpl": Phase(layers="all")},
        schedule=("sgdr", "rpl"),
        subtotal_after="sgdr",
        full_size=32,
        batch_size=16,
        lr_finder=LearningRateFinder(steps=2),
        evaluation_sizes=(24,),
        tta_views=1,
        device="cpu",
    ),
    Regime(sgdr=24, rpl=32, tta=32),
    pretrained=False,
)
START = time.time() + 30 * 24 * 3600
"""A time in seconds since the epoch, from which no jump leads to before the images were written."""
TICK = 2**-7
"""Seconds by which the monotonic clock advances whenever it is read; sums of it are exact."""
TIMES = ["training_seconds", "issue_seconds", "validation_seconds", "images_per_second"]
"""Columns of ``history.csv``."""


@pytest.fixture
def set_clock(monkeypatch):
    """Function that makes the system clock show the start and these hours, another of them at each reading."""

    def install(*hours):
        ticks, offsets = itertools.count(), itertools.cycle(hours)

        def now():
            return START + 3600 * next(offsets)

        class Datetime(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls.fromtimestamp(now(), tz)

        monkeypatch.setattr(time, "perf_counter", lambda: TICK * next(ticks))
        monkeypatch.setattr(time, "clock_gettime", lambda _: 1e9)
        monkeypatch.setattr(time, "time", now)
        monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * now()))
        monkeypatch.setattr(datetime, "datetime", Datetime)

    return install


def train(dataset, folder):
    train_cell(
        Cell(dataset="micrographs", model="test_resnet", regime="gradual", seed=0, weights="none"),
        PLAN,
        pixels=dataset / "pixels.npy",
        manifest=dataset / "manifest.csv",
        split=dataset / "split.csv",
        weights=None,
        folder=folder / "cell",
        checkpoint=folder / "checkpoint.npz",
    )
    metrics = json.loads((folder / "cell" / "metrics.json").read_text())
    times = {name: metrics[name] for name in ("seconds", "seconds_until", "seconds_to_first_step")}
    return times, pd.read_csv(folder / "cell" / "history.csv")[TIMES]


def train_interrupted(dataset, folder, monkeypatch):
    """Interrupt a cell in its second phase, and run it again."""
    with monkeypatch.context() as interrupted:
        interrupted.setattr(trainer.Trainer, "save", save_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(dataset, folder)
    return train(dataset, folder)


def save_and_interrupt(self, checkpoint):
    SAVE(self, checkpoint)
    raise KeyboardInterrupt


SAVE = trainer.Trainer.save
JUMPS = {
    "forwards and backwards": (0, 3, -5, 40, -1),
    "ever later": range(0, 10**6, 2),
    "ever earlier": range(0, -(10**5), -1),
}


@pytest.mark.parametrize("hours", JUMPS.values(), ids=JUMPS)
def test_clock_that_is_set_during_each_step_changes_no_time(dataset, tmp_path, set_clock, hours):
    set_clock(0)
    expected, expected_history = train(dataset, tmp_path / "steady")
    set_clock(*hours)
    found, history = train(dataset, tmp_path / "set")
    assert found == expected
    pd.testing.assert_frame_equal(history, expected_history)
    assert min(found["seconds"].values()) >= 0
    assert (history > 0).all(axis=None)
    assert 0 < found["seconds_until"]["sub-total"] < found["seconds_until"]["total"]


def test_clock_that_is_set_before_a_cell_resumes_changes_no_time(dataset, tmp_path, set_clock, monkeypatch):
    set_clock(0)
    expected, expected_history = train_interrupted(dataset, tmp_path / "steady", monkeypatch)
    set_clock(0, 3, -5, 40, -1)
    found, history = train_interrupted(dataset, tmp_path / "set", monkeypatch)
    assert found == expected
    pd.testing.assert_frame_equal(history, expected_history)
    assert found["seconds_until"]["total"] == found["seconds"]["training"] + found["seconds"]["resize"]
    assert history["training_seconds"].sum() == pytest.approx(found["seconds"]["training"])


def test_no_duration_is_measured_by_the_system_clock():
    # the former reads when a run started on another machine, the latter compares it with files
    system_clock = re.compile(r"\btime\.(time|time_ns)\(|\bfrom time import|\b(datetime|date)\.(now|utcnow|today)\(")
    found = [path.name for path in sorted(PACKAGE.rglob("*.py")) if system_clock.search(path.read_text())]
    assert found == ["budget_fit.py", "system_clock.py"]


def test_cell_is_refused_before_it_is_trained_if_the_clock_was_set_back(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "data")
    later = time.time() + 7200
    os.utime(copy / "manifest.csv", (later, later))
    with pytest.raises(EntrError, match=r"manifest\.csv was modified in the future \([12]:\d\d:\d\d from now\)"):
        train(copy, tmp_path)
    assert not (tmp_path / "cell").exists()


def test_clocks_of_a_cluster_may_differ_by_some_seconds(tmp_path):
    (tmp_path / "split.csv").touch()
    later = time.time() + 20
    os.utime(tmp_path / "split.csv", (later, later))
    refuse_files_from_the_future([tmp_path / "split.csv"])
