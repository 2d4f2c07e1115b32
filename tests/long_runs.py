"""Long runs of simulated cells: what the process that lasts holds while cells finish.

48 hours cannot be waited for in a test. What may accumulate does so with each cell, not with each second: memory, open
files, threads, handlers and lines of a log. So as many cells are run as fit into 48 hours, each of them short.
"""

import itertools
import logging
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import psutil
import yaml
from conftest import ROOT
from factories import metrics, with_final_stage

from entr.config_reference import with_section

HOURS = 48
CELLS = 2700
"""Cells of 64 s that fit into these hours."""
TABLE = ROOT / "docs" / "long-runs.csv"
PAGE = ROOT / "docs" / "long-runs.md"
MODELS = [
    *("densenet121", "densenet161", "densenet169", "densenet201", "resnet18", "resnet34", "resnet50", "resnet101"),
    *("resnet152", "resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d", "shufflenet_v2_x0_5"),
    *("shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0", "squeezenet1_1", "vgg11"),
    *("vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "wide_resnet50_2"),
]
REGIMES, SEEDS = 10, 10
"""With 27 models, 2,700 cells."""
SECONDS_BETWEEN_SAMPLES = 0.1


@dataclass(frozen=True)
class Sample:
    """What a process holds."""

    cells: int
    """Finished cells."""
    memory_mb: float
    """Resident memory."""
    open_files: int
    threads: int
    log_kb: float
    """Size of everything that the process has logged and printed."""
    handlers: int
    """Handlers of its loggers."""


def take_sample(process, cells, logs):
    """Return a sample of a process; `handlers` are known of this process only."""
    with process.oneshot():
        return Sample(
            cells,
            round(process.memory_info().rss / 1e6, 1),
            process.num_fds(),
            process.num_threads(),
            round(sum(path.stat().st_size for path in logs) / 1e3, 1),
            sum(len(logging.getLogger(name).handlers) for name in ("entr", "py.warnings")),
        )


def table_of(samples):
    """Return samples as a table with one row per number of finished cells, the last one taken."""
    return pd.DataFrame(map(asdict, samples)).drop_duplicates("cells", keep="last").reset_index(drop=True)


def train_cells(count, data, folder):
    """Train cells in a process of its own, one after the other, and return a sample after each.

    Parameters
    ----------
    count : int
        Number of cells.
    data : Path
        Directory of the packed images.
    folder : Path
        For the files of the cells, each of which replaces those of the one before.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, str(count), data, folder], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return pd.read_csv(folder / "samples.csv")


def _train_cells_here(count, data, folder):
    from entr.config.regimes import Regime
    from entr.config.training import LearningRateFinder, Phase, Training
    from entr.config.training_plan import Plan
    from entr.jobs.logs import configure_logging
    from entr.metrics.cell_metrics import Cell
    from entr.training.cell import train_cell

    training = Training(
        phases={"sgdr": Phase(), "rpl": Phase(layers="all")},
        schedule=("sgdr", "rpl"),
        subtotal_after="sgdr",
        full_size=32,
        batch_size=28,
        lr_finder=LearningRateFinder(steps=2),
        evaluation_sizes=(),
        tta_views=1,
        device="cpu",
    )
    plan = Plan.of(training, Regime(sgdr=24, rpl=32, tta=32), pretrained=False)
    process, samples = psutil.Process(), []
    for seed in range(count):
        configure_logging(folder / "log.txt")
        train_cell(
            # timm's model for tests, which hardly costs anything
            Cell(dataset="micrographs", model="test_resnet", regime="gradual", seed=seed, weights="none"),
            plan,
            pixels=data / "pixels.npy",
            manifest=data / "manifest.csv",
            split=data / "split.csv",
            weights=None,
            folder=folder / "cell",
            checkpoint=folder / "checkpoint.npz",
        )
        samples.append(take_sample(process, seed + 1, [folder / "log.txt"]))
    table_of(samples).to_csv(folder / "samples.csv", index=False)


STUB = """\
#!/usr/bin/env bash
# In place of train.py: a cell that is finished at once, with the log of a real one.
set -euo pipefail
for file in history steps lr_find predictions model; do
  : > "${snakemake_output[$file]}"
done
cell="${snakemake_wildcards[dataset]} ${snakemake_wildcards[model]} ${snakemake_wildcards[regime]}"
cell+=" seed ${snakemake_wildcards[seed]}"
echo "2026-01-01 00:00:00,000 WARNING $cell: no pretrained weights: all layers are trained" > "${snakemake_log[0]}"
for epoch in {1..30}; do
  echo "2026-01-01 00:00:00,000 INFO $cell: rpl at 64 px, epoch $epoch of 30: accuracy 50.0 %" >> "${snakemake_log[0]}"
done
cp metrics.json "${snakemake_output[metrics]}"
echo >> finished
"""


class SimulatedGrid:
    """A copy of the workflow, in which training a cell only writes the names of its files.

    Everything else is the real workflow: rules, configuration, scheduler, locks, terminal and logs.

    Parameters
    ----------
    folder : Path
        For the copy and the results.
    """

    def __init__(self, folder):
        self.checkout, self.directory = folder / "checkout", folder / "run"
        self.directory.mkdir(parents=True)
        for name in ("config", "profiles", "workflow", "envs"):
            shutil.copytree(ROOT / name, self.checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Snakefile", "CITATION.cff"):
            shutil.copy2(ROOT / name, self.checkout / name)
        rule = self.checkout / "workflow" / "rules" / "train.smk"
        text = rule.read_text()
        assert text.count("../scripts/train.py") == 1
        rule.write_text(text.replace("../scripts/train.py", "../scripts/train.sh"))
        (self.checkout / "workflow" / "scripts" / "train.sh").write_text(STUB)
        (self.directory / "metrics.json").write_text(with_final_stage(metrics("gradual", 0)).to_json())
        (self.directory / "finished").touch()

    def run(self, models, regimes, seeds):
        """Run all cells with one Snakemake process, and return samples of it.

        Parameters
        ----------
        models : sequence of str
            Names of models.
        regimes, seeds : int
            Numbers of regimes and seeds.
        """
        names = ["no-increase", *(f"regime{number}" for number in range(1, regimes))]
        grid = {
            "grid": {"models": models, "regimes": names, "seeds": list(range(seeds))},
            "regimes": {name: dict.fromkeys(("sgdr", "clrs", "cmult", "rpl", "tta"), 32) for name in names},
        }
        (self.directory / "grid.yaml").write_text(yaml.safe_dump(grid))
        data = self.directory / "results" / "data" / "micrographs"
        (data / "splits").mkdir(parents=True)
        # each older than what is made from it
        for name in ("manifest.csv", "pixels.npy", *(f"splits/seed{seed}.csv" for seed in range(seeds))):
            (data / name).touch()
        targets = [
            f"results/cells/micrographs/{model}/{regime}/seed{seed}/metrics.json"
            for model, regime, seed in itertools.product(models, names, range(seeds))
        ]
        return self._sample_while_running(targets)

    def _sample_while_running(self, targets):
        program = shutil.which("snakemake", path=Path(sys.executable).parent)
        options = ["--cores", "2", "--resources", "gpu=1", "--configfile", "grid.yaml"]
        command = [program, *targets, "--snakefile", self.checkout / "Snakefile", *options]
        environment = os.environ | {"XDG_CACHE_HOME": str(self.directory / ".cache")}
        printed, samples = self.directory / "printed.txt", []
        with printed.open("w") as output:
            snakemake = subprocess.Popen(
                command, cwd=self.directory, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
            process = psutil.Process(snakemake.pid)
            while snakemake.poll() is None:
                time.sleep(SECONDS_BETWEEN_SAMPLES)
                cells = (self.directory / "finished").stat().st_size
                logs = [printed, *(self.directory / ".snakemake" / "log").glob("*.log")]
                try:
                    samples.append(take_sample(process, cells, logs))
                except psutil.Error:
                    # it has just ended
                    break
            snakemake.wait()
        assert snakemake.returncode == 0, printed.read_text()[-3000:]
        table = table_of(samples)
        return table[table["cells"].between(1, len(targets) - 1)].reset_index(drop=True)


def summarise(name, samples, cells):
    """Return the samples at ten moments of a run: the largest of each value until then, since the moment before."""
    tenths = pd.cut(samples["cells"], [cells * tenth / 10 for tenth in range(11)], labels=range(1, 11))
    largest = samples.groupby(tenths, observed=True).max().drop(columns="handlers")
    return largest.assign(process=name)[["process", *largest.columns]]


def markdown(table):
    """Return the generated part of the page."""
    head = "| process | finished cells | memory in MB | open files | threads | log in kB |"
    rows = [
        f"| {row.process} | {row.cells} | {row.memory_mb:.1f} | {row.open_files} | {row.threads} | {row.log_kb:.1f} |"
        for row in table.itertuples()
    ]
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *rows]) + "\n"


def update_documentation(summaries):
    """Write the table of the documentation and the page that shows it."""
    table = pd.concat(summaries)
    table.to_csv(TABLE, index=False)
    PAGE.write_text(with_section(PAGE.read_text(), "long-runs", markdown(table), "long-runs"))


if __name__ == "__main__":
    _train_cells_here(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
