import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from factories import REGIMES, metrics, study

from entr.analysis.paired_effects import write_effects
from entr.config.regimes import Regime
from entr.config.training import Training
from entr.config.training_plan import Plan
from entr.jobs.errors import EntrError
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import CELL
from entr.report.paper import training_cost, write_paper

SIZES = {
    "no-increase": (250, 250, 250, 250),
    "gradual": (100, 150, 200, 250),
    "stepwise": (100, 100, 250, 250),
    "matched": (250, 250, 250, 250),
    "small": (100, 100, 100, 100),
}
PHASES = ("sgdr", "clrs", "cmult", "rpl")
SHORTER = {"training": {"phases": Training().model_dump()["phases"] | {"sgdr": {"cycle_length": 1}}}}
"""Training whose first phase is shorter, so that the others begin earlier."""


def plan(*sizes, training=None, **choices):
    regime = Regime(**dict(zip(PHASES, sizes, strict=True)), tta=sizes[-1], **choices)
    return Plan.of(Training(**training or {}), regime, pretrained=True)


def by_pixels(*sides):
    return {side: float(side**2) for side in sides}


def test_cost_of_training_counts_epochs_and_layers():
    # two, three, seven and seven epochs; the last phase trains all layers
    expected = 2 * 100**2 + 3 * 150**2 + 7 * 200**2 + 3 * 7 * 250**2
    assert training_cost(plan(*SIZES["gradual"]), by_pixels(100, 150, 200, 250)) == expected


def test_cost_of_drawn_sizes_is_their_mean_and_upsampled_images_cost_their_final_size():
    drawn = plan({"random": [100, 200]}, 100, 100, 100)
    assert training_cost(drawn, by_pixels(100, 200)) == 2 * (100**2 + 200**2) / 2 + 10 * 100**2 + 21 * 100**2
    upsampled = plan(100, 100, 100, 100, upsample_to=200)
    assert training_cost(upsampled, by_pixels(100, 200)) == (12 + 21) * 200**2


@pytest.fixture
def paper_of(tmp_path):
    """Function that writes the paper of a study, and returns its text and the table of effects."""

    def write(given, **options):
        design = given.design
        tables = {
            name: tmp_path / f"{name}.csv"
            for name in ("metrics", "pairs", "effects", "cells", "datasets", "history", "time_to_accuracy_effects")
        }
        write_table(given.metrics, tables["metrics"])
        environment = {"device": "a CPU", "threads": 2, "driver": "", "precision": "float32", "python": "3.11"}
        versions = {"torch": "2.13", "torchvision": "0.28", "fastai": "2.8"}
        cells = given.metrics[CELL].drop_duplicates()
        cells = cells.assign(
            weights="imagenet", scale=0.4, seconds_wall=60.0, sizes_in_host_memory="", **environment, **versions
        )
        write_table(cells, tables["cells"])
        seconds = np.where(cells["regime"] == "gradual", 13 + 0.01 * cells["seed"], 10)
        history = [cells[CELL].assign(phase=phase, training_seconds=seconds) for phase in PHASES]
        write_table(pd.concat(history), tables["history"])
        write_effects(tables["metrics"], design.control, design.folds, pairs=tables["pairs"], effects=tables["effects"])
        sources = [
            {"title": title, "images_found": 100, "classes_found": 4, "citation": "Somebody 2020", "licence": "CC0"}
            for title in design.datasets.values()
        ]
        write_table(pd.DataFrame(sources), tables["datasets"])
        times = {"scope": "all", "dataset": "all", "regime": "gradual", "cells": 14, "reached_cells": 13}
        ratios = {"time_ratio": 0.75, "low_corrected": 0.7, "high_corrected": 0.8}
        rows = [times | ratios, times | {"scope": "dataset", "dataset": "ucm", "time_ratio": float("nan")}]
        write_table(pd.DataFrame(rows), tables["time_to_accuracy_effects"])
        inference = tmp_path / "resnet18.csv"
        costs = {"model": "resnet18", "size": [100, 150, 200, 250], "multiply_adds": [4, 9, 16, 25]}
        write_table(pd.DataFrame(costs), inference)
        figure = tmp_path / "effects.png"
        figure.write_bytes(b"an image")
        write_paper(
            tables.values(),
            list(recorded(given, tmp_path / "cells", options.get("training", {}))),
            [inference],
            [figure],
            design=design,
            title=options.get("title", ""),
            protocol=options.get("protocol"),
            citation="{title: ENTR, version: 9.9.9}",
            folder=tmp_path / "paper",
        )
        assert (tmp_path / "paper" / "effects.png").read_bytes() == b"an image"
        return (tmp_path / "paper" / "README.md").read_text(encoding="utf-8"), read_table(tables["effects"])

    return write


def recorded(given, folder, training):
    """Write the metrics of the first seed, with the training settings of each dataset, and yield their paths."""
    for dataset, regime in product(given.design.datasets, REGIMES):
        trained = plan(*SIZES[regime], **training.get(dataset, SHORTER if regime == "matched" else {}))
        cell = metrics("gradual", 0).model_copy(update={"dataset": dataset, "regime": regime, "plan": trained})
        path = folder / dataset / "resnet18" / regime / "seed0" / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(cell.to_json(), encoding="utf-8")
        yield path


def final_ratio(effects, metric):
    """Return the ratio of a metric for `gradual` on UCM, as the table of effects has it."""
    rows = effects[(effects["scope"] == "dataset") & (effects["regime"] == "gradual") & (effects["metric"] == metric)]
    rows = rows[(rows["stage"] == "total-tta") & (rows["time_basis"] == "training")]
    return float(np.exp(rows["mean"].iloc[0]))


def test_results_are_from_the_tables(paper_of):
    text, effects = paper_of(study(models=("resnet18",)))
    assert text.startswith(
        "# Does a convolutional neural network train more efficiently if training starts with small images?\n\n**"
    )
    assert "UCM: 100 images in 4 classes (Somebody 2020); licence: CC0." in text
    assert "Learning rate 0.01, batch size 64, momentum 0.9, weight decay 0.0, dropout 0.5." in text
    assert "Augmentation: flips and quarter turns, rotations by up to 10°, zoom by a factor of up to 1.1" in text
    assert "falls from that of the phase to 0 along a cosine. If a phase has three learning rates, they are" in text
    assert "| `clrs` | head | 3 | 1, 1, 1 | 0.01 |" in text
    assert "| `rpl` | all | 7 | 1, 2, 4 | 0.00111, 0.00333, 0.01 |" in text
    assert "| gradual | 100, 150, 200, 250 | 2, 3, 7, 7 |  |" in text
    timing = next(line for line in text.splitlines() if line.startswith("- **Timing**, UCM: "))
    # no phase of `small` is at full size
    assert "took 1.30 [1.30, 1.30] with gradual (seeds: 1.30 to 1.31), 1.00" in timing
    assert timing.count(" with ") == 3
    assert " with matched (" in timing
    assert "35 of 35 cells are finished (7 seeds), with a total run time of 35 min." in text
    row = next(line for line in text.splitlines() if line.startswith("| UCM | gradual | ") and line.count("|") == 7)
    time, multiply_adds, efficiency, from_multiply_adds = (part.split()[0] for part in row.split("|")[3:7])
    assert float(time) == pytest.approx(final_ratio(effects, "log_time_ratio"), abs=0.001)
    assert float(efficiency) == pytest.approx(final_ratio(effects, "log_efficiency_ratio"), abs=0.01)
    # two, three, seven and seven epochs, of which the last train all layers
    cost = (2 * 4 + 3 * 9 + 7 * 16 + 3 * 7 * 25) / ((12 + 3 * 7) * 25)
    assert float(multiply_adds) == pytest.approx(cost, abs=0.001)
    ratio_of_accuracies = float(efficiency) ** 2 * float(time)
    assert float(from_multiply_adds) == pytest.approx(np.sqrt(ratio_of_accuracies / cost), abs=0.02)
    assert "| UCM | gradual | 13 of 14 |  |" in text
    assert "| ENTR |" in text
    assert "![Change in time, accuracy and efficiency](effects.png)" in text


def test_several_datasets_are_answered_together_and_one_by_one(paper_of):
    losing = {("neu", "resnet18", "gradual"): 0.70}
    text, _ = paper_of(study(models=("resnet18",), datasets=("ucm", "neu"), accuracy=losing))
    assert "### Overall answer" in text
    of_ucm, of_neu = text.split("### UCM")[1].split("### NEU")
    assert re.search(r"\| Is it as accurate\? \| no-increase \| 7 \| \+[01]\.\d", of_ucm)
    assert re.search(r"\| Is it as accurate\? \| no-increase \| 7 \| [-−](9\.9|10\.\d)", of_neu)
    assert "| all | gradual | 13 of 14 | 0.750 [0.700, 0.800] |" in text


def test_methods_that_datasets_share_are_stated_once(paper_of):
    text, _ = paper_of(study(models=("resnet18",), datasets=("ucm", "neu")))
    assert text.count("| `rpl` | all | 7 |") == 1
    assert "**Training.** Learning rate" in text


def test_methods_of_each_dataset_are_stated_where_they_differ(paper_of):
    training = {"neu": {"training": {"batch_size": 16}}}
    text, _ = paper_of(study(models=("resnet18",), datasets=("ucm", "neu")), training=training)
    assert "**Training of UCM with resnet18.** Learning rate 0.01, batch size 64" in text
    assert "**Training of NEU with resnet18.** Learning rate 0.01, batch size 16" in text


def test_title_and_protocol_are_those_of_the_configuration(paper_of, tmp_path):
    protocol = tmp_path / "protocol.md"
    protocol.write_text("# Our protocol\n\nFive regimes.\n\n## Deviations\n\nNone.\n", encoding="utf-8")
    text, _ = paper_of(study(), title="Our study", protocol=protocol)
    assert text.startswith("# Our study\n")
    assert "## Protocol\n\nFive regimes.\n\n### Deviations\n\nNone.\n" in text


def test_protocol_that_is_not_text_is_refused(paper_of, tmp_path):
    (tmp_path / "protocol.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EntrError, match=r"paper.protocol: .*protocol.md is not UTF-8 text"):
        paper_of(study(), protocol=tmp_path / "protocol.md")
