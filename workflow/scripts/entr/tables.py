"""The tables: every measure of every cell, and their means over seeds.

*As* = sqrt(*A* / *T*) [paper, Methods], with *T* in seconds on three bases, see `times`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import ValidationError
from scipy import stats

from entr.damage import damaged, read_csv
from entr.guards import EntrError, atomic_write
from entr.measures import Mechanism, Metrics, Quality

CELL = ["dataset", "model", "regime", "seed"]
MEASURE = ["stage", "at", "size", "measure", "basis", "unit"]
UNITS = {
    "accuracy": "share",
    "macro_f1": "share",
    "negative_log_likelihood": "nats",
    "calibration_error": "share",
    "correct": "images",
    "count": "images",
}
REPLICATES_FOR_AN_INTERVAL = 3


@dataclass(frozen=True)
class Costs:
    """What predicting costs, from the inference benchmark."""

    of_an_image: Mapping[tuple[str, int], float]
    """Seconds an image in the largest batch, by model and size in px."""
    of_the_finished: Mapping[tuple[str, str, str], float]
    """Median seconds of one image through the finished network, by dataset, model and regime."""

    @classmethod
    def of(cls, inference: Sequence[pd.DataFrame], finished: Sequence[pd.DataFrame]) -> Self:
        """Read them from tables of `inference.benchmark` and `inference.benchmark_finished`."""
        largest = [table.loc[table["batch_size"].idxmax()] for table in inference]
        alone = [row for table in finished for _, row in table.iterrows()]
        return cls(
            {(row["model"], int(row["size"])): float(row["seconds_an_image"]) for row in largest},
            {(row["dataset"], row["model"], row["regime"]): float(row["p50_seconds"]) for row in alone},
        )


def write(
    metrics: Iterable[str | Path],
    inference: Iterable[str | Path],
    finished: Iterable[str | Path],
    control: str,
    *,
    cells: str | Path,
    summary: str | Path,
    runs: str | Path,
) -> None:
    """Collect all finished cells.

    Parameters
    ----------
    metrics, inference, finished : iterable of path
        Files of `measures.Metrics`, tables of `inference.benchmark` and of `inference.benchmark_finished`.
    control : str
        The regime that efficiency ratios are relative to.
    cells, summary, runs : path
        CSV files: one row a cell and measure; one row a group of seeds and measure; one row a
        cell with its device, first weights and where its time went.

    Raises
    ------
    EntrError
        When cells of one dataset and model ran on different devices, so that their *T* do not compare, or a
        file is damaged.
    """
    found = [_read(Path(path)) for path in metrics]
    costs = Costs.of([read_csv(path) for path in inference], [read_csv(path) for path in finished])
    run_table = pd.DataFrame([_run(one) for one in found])
    _check_devices(run_table)
    cell_table = cells_of(found, costs, control)
    for path, table in ((cells, cell_table), (summary, summary_of(cell_table)), (runs, run_table)):
        with atomic_write(path) as file:
            table.to_csv(file, index=False)


def _read(path: Path) -> Metrics:
    try:
        return Metrics.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise damaged(path, error.errors()[0]["msg"]) from error


def _run(metrics: Metrics) -> dict[str, Any]:
    plain = metrics.model_dump()
    kept = [*CELL, "weights", "precision", "epochs", "classes", "training_images", "validation_images"]
    kept += ["peak_memory_mb", "seconds_to_first_step", "resumed"]
    seconds = {f"seconds_{part}": value for part, value in plain["seconds"].items()}
    return {key: plain[key] for key in kept} | plain["environment"] | seconds


def _check_devices(runs: pd.DataFrame) -> None:
    for (dataset, model), group in runs.groupby(["dataset", "model"]):
        devices = sorted(set(group["device"] + " with " + group["threads"].astype(str) + " threads"))
        if len(devices) > 1:
            raise EntrError(
                f"cells of {dataset} {model} ran on {' and on '.join(devices)}, so their times do not compare; "
                "delete the folders of those to repeat below results/cells and run again on one device"
            )


def cells_of(metrics: Sequence[Metrics], costs: Costs, control: str) -> pd.DataFrame:
    """Return one row a cell and measure.

    Returns
    -------
    DataFrame
        Columns ``dataset, model, regime, seed, stage, at, size, measure, basis, value, unit``.
        ``at`` is ``phase`` (the phase's own size, as in the paper), ``full`` or ``test`` (the
        finished network at each of the test sizes); ``basis`` names the *T* of a time, an
        efficiency (*As*) or an efficiency ratio to the control of the same seed. A gap is of
        training images, as they are, over validation images: of accuracy the one less the other,
        of loss (negative log likelihood) the other less the one. A weight distance is relative to
        the first weights, by group of layers.
    """
    table = pd.DataFrame([row for one in metrics for row in _rows(one, costs)])
    efficiency = table[table["measure"] == "efficiency"]
    keys = ["dataset", "model", "seed", "stage", "at", "basis"]
    of_control = efficiency[efficiency["regime"] == control][[*keys, "value"]]
    ratios = efficiency[efficiency["regime"] != control].merge(of_control, on=keys, suffixes=("", "_of_control"))
    ratios["value"] /= ratios.pop("value_of_control")
    table = pd.concat([table, ratios.assign(measure="efficiency_ratio", unit="1")], ignore_index=True)
    return table[[*CELL, "stage", "at", "size", "measure", "basis", "value", "unit"]]


def _rows(metrics: Metrics, costs: Costs) -> Iterator[dict[str, Any]]:
    cell = {name: getattr(metrics, name) for name in CELL}
    for evaluation in metrics.evaluations:
        key = cell | evaluation.model_dump(exclude={"quality"})
        for measure, unit in UNITS.items():
            yield key | {"measure": measure, "basis": "", "value": getattr(evaluation.quality, measure), "unit": unit}
        for basis, seconds in times(metrics, evaluation.stage, costs).items():
            efficiency = np.sqrt(evaluation.quality.accuracy / seconds)
            yield key | {"measure": "time", "basis": basis, "value": seconds, "unit": "s"}
            yield key | {"measure": "efficiency", "basis": basis, "value": efficiency, "unit": "s^-1/2"}
    of_validation = {one.stage: one.quality for one in metrics.evaluations if one.at == "full"}
    for one in metrics.mechanism:
        key = cell | {"stage": one.stage, "at": "full", "size": one.size, "basis": ""}
        for measure, (value, unit) in _mechanism(one, of_validation[one.stage]).items():
            yield key | {"measure": measure, "value": value, "unit": unit}
    for size, found in metrics.test_sizes.items():
        key = cell | {"stage": "total", "at": "test", "size": size, "basis": ""}
        yield key | {"measure": "accuracy", "value": found.accuracy, "unit": "share"}


def _mechanism(one: Mechanism, of_validation: Quality) -> dict[str, tuple[float, str]]:
    """Return value and unit of each measure of how a network learns."""
    loss = one.training.negative_log_likelihood
    groups = {name: getattr(one, name) for name in ("early", "late", "head")}
    return {
        "training_accuracy": (one.training.accuracy, "share"),
        "training_negative_log_likelihood": (loss, "nats"),
        "accuracy_gap": (one.training.accuracy - of_validation.accuracy, "share"),
        "loss_gap": (of_validation.negative_log_likelihood - loss, "nats"),
        **{f"weight_distance_{name}": (group.distance, "1") for name, group in groups.items()},
        **{f"weight_norm_{name}": (group.norm, "1") for name, group in groups.items()},
    }


def times(metrics: Metrics, stage: str, costs: Costs) -> dict[str, float]:
    """Return *T* of a stage on each basis, in seconds.

    ``training``: measured in training steps and the resizing they need. ``forward``: the forward
    passes that the schedule asks for, each image at the benchmarked cost of its size in the
    largest batch. ``latency``: one image through the finished network at its final size. A basis that
    is not benchmarked yet, while a grid still grows, is left out.
    """
    found = {"training": metrics.seconds_until[stage]}
    passes = {(metrics.model, size): count for size, count in metrics.image_passes[stage].items()}
    if passes.keys() <= costs.of_an_image.keys():
        found["forward"] = sum(count * costs.of_an_image[case] for case, count in passes.items())
    cell = metrics.dataset, metrics.model, metrics.regime
    if cell in costs.of_the_finished:
        found["latency"] = costs.of_the_finished[cell]
    return found


def summary_of(cells: pd.DataFrame) -> pd.DataFrame:
    """Return mean, standard deviation and 95 % interval over seeds.

    Returns
    -------
    DataFrame
        Columns ``dataset, model, regime``, those of the measure, ``n, mean, sd, low, high``. The
        interval is Student's; with fewer than three seeds it would say nothing and is left empty.
    """
    groups = cells.groupby(["dataset", "model", "regime", *MEASURE], sort=False, dropna=False)["value"]
    table = groups.agg(n="count", mean="mean", sd="std").reset_index()
    enough = table["n"] >= REPLICATES_FOR_AN_INTERVAL
    half = stats.t.ppf(0.975, table["n"] - 1) * table["sd"] / np.sqrt(table["n"])
    return table.assign(low=(table["mean"] - half).where(enough), high=(table["mean"] + half).where(enough))
