"""Aggregation of all cells: every metric of every cell, means over seeds, and the cells themselves.

*As* = sqrt(*A* / *T*) [paper, Methods], with *T* in seconds on three time bases, see `stage_times`.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import stats

from entr.jobs.errors import EntrError
from entr.jobs.tables import read_table, write_table
from entr.metrics.cell_files import read_metrics
from entr.metrics.cell_metrics import Metrics, Quality, Stage, TrainingDiagnostics
from entr.metrics.interpolation import interpolate_cost
from entr.metrics.labels import CELL, FULL, OTHER, TOTAL

log = logging.getLogger("entr")

GROUP = ["dataset", "model", "regime"]
"""Columns that identify the cells whose seeds are averaged."""
METRIC = ["stage", "resolution", "size", "metric", "time_basis", "unit"]
"""Columns that identify a metric."""
QUALITY_UNITS = {
    "accuracy": "fraction",
    "macro_f1": "fraction",
    "negative_log_likelihood": "nats",
    "calibration_error": "fraction",
    "correct": "images",
    "count": "images",
}
EFFICIENCY_UNIT = "s^-1/2"
REPLICATES_FOR_INTERVAL = 3
"""With fewer seeds, Student's interval is too wide to be useful."""
CELL_COLUMNS = [
    *CELL,
    "weights",
    "scale",
    "precision",
    "epochs",
    "classes",
    "training_images",
    "validation_images",
    "peak_memory_mb",
    "sizes_in_host_memory",
    "seconds_to_first_step",
    "resumed",
]
"""Fields of `Metrics` and the scale of its plan, which precede environment and seconds in the table of cells."""


@dataclass(frozen=True)
class InferenceCosts:
    """Costs of inference, from the inference benchmark."""

    seconds_per_image: Mapping[tuple[str, int], float]
    """Seconds per image in the largest batch, by model and image size in px."""
    latency: Mapping[tuple[str, str, str], float]
    """Median seconds of one image through the trained model, by dataset, model and regime."""

    @classmethod
    def from_tables(cls, inference: Iterable[pd.DataFrame], trained: Iterable[pd.DataFrame]) -> Self:
        """Collect the costs from tables of `inference.benchmark_model` and `inference.benchmark_trained`."""
        largest = [
            row for table in inference for _, row in table[table["batch_size"] == table["batch_size"].max()].iterrows()
        ]
        single = [row for table in trained for _, row in table.iterrows()]
        return cls(
            {(row["model"], int(row["size"])): float(row["seconds_per_image"]) for row in largest},
            {(row["dataset"], row["model"], row["regime"]): float(row["p50_seconds"]) for row in single},
        )


def write_metrics(
    metrics: Iterable[str | Path],
    inference: Iterable[str | Path],
    trained: Iterable[str | Path],
    *,
    control: str,
    outputs: Mapping[str, str | Path],
) -> None:
    """Aggregate all finished cells.

    Parameters
    ----------
    metrics : iterable of path
        JSON files of `Metrics`.
    inference, trained : iterable of path
        Tables of `inference.benchmark_model` and of `inference.benchmark_trained`.
    control : str
        The regime that efficiency ratios are relative to.
    outputs : mapping of str to path
        CSV files by name: ``metrics``, one row per cell and metric; ``summary``, one row per group of seeds
        and metric; ``cells``, one row per cell with its device, initial weights and seconds by activity.

    Raises
    ------
    EntrError
        If cells of one dataset, model and seed ran on different devices, so that their *T* are not comparable,
        or if a file is damaged.
    """
    results = [read_metrics(path) for path in metrics]
    costs = InferenceCosts.from_tables(map(read_table, inference), map(read_table, trained))
    cells = pd.DataFrame([_cell_row(result) for result in results])
    _check_devices(cells)
    table = metrics_table(results, costs, control)
    write_table(table, outputs["metrics"])
    write_table(summarise(table), outputs["summary"])
    write_table(cells, outputs["cells"])


def _cell_row(metrics: Metrics) -> dict[str, Any]:
    sizes = " ".join(map(str, metrics.sizes_in_host_memory))
    values = metrics.model_dump() | {"scale": metrics.plan.scale, "sizes_in_host_memory": sizes}
    seconds = {f"seconds_{activity}": value for activity, value in values["seconds"].items()}
    return {column: values[column] for column in CELL_COLUMNS} | values["environment"] | seconds


def _check_devices(cells: pd.DataFrame) -> None:
    """Refuse pairs of cells that ran on different devices; further seeds may have run on others."""
    used = cells.assign(used=cells["device"] + " with " + cells["threads"].astype(str) + " threads")
    for (dataset, model), group in used.groupby(["dataset", "model"]):
        for seed, of_seed in group.groupby("seed"):
            devices = sorted(set(of_seed["used"]))
            if len(devices) > 1:
                raise EntrError(
                    f"cells of {dataset} {model} seed {seed} ran on {' and on '.join(devices)}, so their times are not "
                    "comparable; choose one device per seed, delete the cells of the others below results/cells, and "
                    "run again"
                )
        devices = sorted(set(group["used"]))
        if len(devices) > 1:
            log.warning(
                "seeds of %s %s ran on %s: compare times within a seed only",
                *(dataset, model, " and on ".join(devices)),
            )


def metrics_table(results: Sequence[Metrics], costs: InferenceCosts, control: str) -> pd.DataFrame:
    """Return every metric of every cell.

    Parameters
    ----------
    results : sequence of Metrics
        The finished cells.
    costs : InferenceCosts
        Costs of inference.
    control : str
        The regime that efficiency ratios are relative to.

    Returns
    -------
    DataFrame
        One row per cell and metric, with the columns ``dataset, model, regime, seed, stage, resolution,
        size, metric, time_basis, value, unit``. ``resolution`` is ``phase`` (the size of the phase, as in
        the paper), ``full``, or ``other`` (the trained model at each of the evaluation sizes).
        ``time_basis`` names the *T* of a time, of an efficiency (*As*), or of an efficiency ratio to the
        control of the same seed. A gap compares the training images, without augmentation, with the
        validation images: training minus validation accuracy, validation minus training loss (negative
        log likelihood). A weight distance is relative to the initial weights, by group of layers.
    """
    table = pd.DataFrame([row for result in results for row in _metric_rows(result, costs)])
    efficiency = table[table["metric"] == "efficiency"]
    keys = ["dataset", "model", "seed", "stage", "resolution", "time_basis"]
    control_rows = efficiency[efficiency["regime"] == control][[*keys, "value"]]
    ratios = efficiency[efficiency["regime"] != control].merge(control_rows, on=keys, suffixes=("", "_of_control"))
    ratios["value"] /= ratios.pop("value_of_control")
    table = pd.concat([table, ratios.assign(metric="efficiency_ratio", unit="1")], ignore_index=True)
    return table[[*CELL, "stage", "resolution", "size", "metric", "time_basis", "value", "unit"]]


def _metric_rows(result: Metrics, costs: InferenceCosts) -> Iterator[dict[str, Any]]:
    """Yield the rows of one cell."""
    cell = {name: getattr(result, name) for name in CELL}
    for evaluation in result.evaluations:
        key = cell | evaluation.model_dump(exclude={"quality"})
        for metric, unit in QUALITY_UNITS.items():
            value = getattr(evaluation.quality, metric)
            yield key | {"metric": metric, "time_basis": "", "value": value, "unit": unit}
        for time_basis, seconds in stage_times(result, evaluation.stage, costs).items():
            efficiency = np.sqrt(evaluation.quality.accuracy / seconds)
            of_basis = key | {"time_basis": time_basis}
            yield of_basis | {"metric": "time", "value": seconds, "unit": "s"}
            yield of_basis | {"metric": "efficiency", "value": efficiency, "unit": EFFICIENCY_UNIT}
    at_full_size = {one.stage: one.quality for one in result.evaluations if one.resolution == FULL}
    for diagnostics in result.diagnostics:
        stage, size = diagnostics.stage, diagnostics.size
        key = cell | {"stage": stage, "resolution": FULL, "size": size, "time_basis": ""}
        for metric, (value, unit) in _diagnostic_values(diagnostics, at_full_size[stage]).items():
            yield key | {"metric": metric, "value": value, "unit": unit}
    for size, quality in result.other_sizes.items():
        key = cell | {"stage": TOTAL, "resolution": OTHER, "size": size, "time_basis": ""}
        yield key | {"metric": "accuracy", "value": quality.accuracy, "unit": "fraction"}


def _diagnostic_values(diagnostics: TrainingDiagnostics, validation: Quality) -> dict[str, tuple[float, str]]:
    """Return value and unit of each training diagnostic."""
    training = diagnostics.training
    groups = {name: getattr(diagnostics, name) for name in ("early", "late", "head")}
    return {
        "training_accuracy": (training.accuracy, "fraction"),
        "training_negative_log_likelihood": (training.negative_log_likelihood, "nats"),
        "accuracy_gap": (training.accuracy - validation.accuracy, "fraction"),
        "loss_gap": (validation.negative_log_likelihood - training.negative_log_likelihood, "nats"),
        **{f"weight_distance_{name}": (group.distance, "1") for name, group in groups.items()},
        **{f"weight_norm_{name}": (group.norm, "1") for name, group in groups.items()},
    }


def stage_times(result: Metrics, stage: Stage, costs: InferenceCosts) -> dict[str, float]:
    """Return *T* of a stage on each time basis, in seconds.

    ``training`` is the measured time in training steps and in the resizing that they need. ``forward`` is
    the time of the scheduled forward passes, each image at the benchmarked cost of its size in the largest
    batch; of a ramp, only some sizes are benchmarked, and the cost of the others is interpolated. ``latency`` is the
    time of one image through the trained model at its final size. A time basis
    that is not benchmarked yet, because the grid is still running, is left out.
    """
    times = {"training": result.seconds_until[stage]}
    benchmarked = {size: seconds for (model, size), seconds in costs.seconds_per_image.items() if model == result.model}
    passes = result.image_passes[stage]
    if benchmarked and min(benchmarked) <= min(passes) and max(passes) <= max(benchmarked):
        times["forward"] = sum(count * interpolate_cost(size, benchmarked) for size, count in passes.items())
    group = result.dataset, result.model, result.regime
    if group in costs.latency:
        times["latency"] = costs.latency[group]
    return times


def summarise(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return mean, standard deviation and 95 % interval over seeds.

    Returns
    -------
    DataFrame
        One row per group of seeds and metric, with the columns ``dataset, model, regime``, those of the
        metric, ``n, mean, sd, low, high``. The interval is Student's; it is empty with fewer than three
        seeds.
    """
    groups = metrics.groupby([*GROUP, *METRIC], sort=False, dropna=False)["value"]
    table = groups.agg(n="count", mean="mean", sd="std").reset_index()
    enough = table["n"] >= REPLICATES_FOR_INTERVAL
    half = stats.t.ppf(0.975, table["n"] - 1) * table["sd"] / np.sqrt(table["n"])
    return table.assign(low=(table["mean"] - half).where(enough), high=(table["mean"] + half).where(enough))


def select_rows(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Return the rows of a table that have the given values in these columns; an empty table stays empty."""
    for column, value in values.items():
        if len(table):
            table = table[table[column] == value]
    return table
