"""Comparison of two finished runs: configuration, code, machine, images, predictions and results."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import stats

from entr.analysis.aggregation import GROUP
from entr.analysis.estimation import estimate
from entr.analysis.formatting import format_effect, format_number, format_percentage
from entr.jobs.errors import EntrError
from entr.jobs.files import atomic_write
from entr.jobs.markdown import render_markdown
from entr.jobs.nested_values import flatten
from entr.jobs.tables import read_columns, read_table, write_table
from entr.metrics.cell_files import read_content, unrecorded_files
from entr.metrics.cell_metrics import METRICS_FILE
from entr.metrics.labels import CELL, FINAL, PHASE, STAGES, SYMBOLS, TIME_BASES
from entr.report.provenance import MACHINE, Provenance, read_provenance

log = logging.getLogger("entr")

KEY = [*GROUP, "stage", "time_basis", "metric"]
UNITS = {"accuracy": "fraction", "time": "s", "efficiency": "s^-1/2"}
PAIRED, UNPAIRED = "paired", "unpaired"
SMALLEST_SAMPLE = 2
"""Replicates without which there is no interval."""
EVALUATION = ["stage", "resolution", "size", "image"]
"""Columns that identify a prediction of a cell."""
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Run:
    """A finished run, read from its folder ``results``."""

    results: Path
    metrics: pd.DataFrame
    cells: pd.DataFrame
    provenance: Provenance | None

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read a run.

        Parameters
        ----------
        folder : path
            The folder ``results``, or one that contains it, such as a checkout or an extracted archive.

        Raises
        ------
        EntrError
            If the run is not finished, is of a version with other columns, or has a damaged file.
        """
        folder = Path(folder)
        results = folder / "results" if (folder / "results" / "tables").is_dir() else folder
        tables = {}
        for name, columns in (("metrics", [*KEY, "seed", "resolution", "value"]), ("cells", CELL)):
            path = results / "tables" / f"{name}.csv"
            if not path.exists():
                raise EntrError(
                    f"{results} does not contain a finished run: {path} does not exist; finish the run first"
                )
            tables[name] = read_table(path)
            missing = [column for column in columns if column not in tables[name]]
            if missing:
                raise EntrError(
                    f"{path} lacks the column {missing[0]}; results from before version 0.2 cannot be compared"
                )
        return cls(results, tables["metrics"], tables["cells"], read_provenance(results))

    def cell_file(self, cell: Iterable[object], name: str) -> Path:
        """Return a file of a cell, which is given by dataset, model, regime and seed."""
        *group, seed = cell
        return self.results.joinpath("cells", *map(str, group), f"seed{seed}", name)

    def verify_predictions(self, cells: Iterable[tuple]) -> None:
        """Compare the predictions of cells with their checksums, which earlier versions did not record.

        Raises
        ------
        EntrError
            If a file is missing or damaged.
        """
        paths = [self.cell_file(cell, "predictions.csv") for cell in cells]
        if unrecorded := unrecorded_files(paths):
            log.info(
                "%s: predictions of %d of %d cells are not verified, because an earlier version recorded no checksums",
                *(self.results, len(unrecorded), len(paths)),
            )

    def checksums(self, dataset: str) -> dict[str, str] | None:
        """Return the SHA-256 of the original of each image, or None if the run has no manifest any more."""
        path = self.results / "data" / dataset / "manifest.csv"
        return _checksums(path) if path.exists() else None

    def finished_cells(self) -> list[tuple]:
        """Return the cells in the order of the table."""
        return list(self.cells[CELL].itertuples(index=False, name=None))


@cache
def _checksums(path: Path) -> dict[str, str]:
    manifest = read_columns(path, image=str, sha256=str)
    return dict(zip(manifest["image"], manifest["sha256"], strict=True))


def write_comparison(before: str | Path | None, after: str | Path | None, *, folder: str | Path) -> None:
    """Compare two finished runs, and print a summary.

    Parameters
    ----------
    before, after : path
        Folders of `Run.read`. Changes are those from `before` to `after`.
    folder : path
        Directory for ``comparison.md`` and the tables ``comparison.csv``, ``predictions.csv`` and
        ``differences.csv``.

    Raises
    ------
    EntrError
        If a folder is missing or does not contain a finished run, or if the runs have no dataset, model and
        regime in common.
    """
    if before is None or after is None:
        raise EntrError(
            "compare_runs needs two runs; add --config before=FOLDER, and after=FOLDER unless it is results"
        )
    runs = Run.read(before), Run.read(after)
    predictions = compare_predictions(*runs)
    results = compare_results(*runs, predictions)
    differences = pd.DataFrame(list(find_differences(*runs)), columns=["section", "key", "before", "after"])
    folder = Path(folder)
    write_table(results, folder / "comparison.csv")
    write_table(predictions, folder / "predictions.csv")
    write_table(differences, folder / "differences.csv")
    time_basis = _time_basis(runs)
    final = results[(results["stage"] == FINAL) & results["time_basis"].isin(["", time_basis])]
    lines = [describe_changes(final, metric) for metric in SYMBOLS]
    page = render_markdown(
        "comparison.md.j2",
        runs=[_describe_run(run, given) for run, given in zip(runs, (before, after), strict=True)],
        changes=lines,
        predictions=describe_predictions(predictions),
        groups=[_row(group) for _, group in final.groupby(GROUP, sort=False)],
        sections=_sections(differences),
        stage=STAGES[FINAL],
        time_basis=TIME_BASES[time_basis],
        notes=sorted({note for note in final["note"] if note}),
    )
    with atomic_write(folder / "comparison.md") as file:
        file.write(page)
    for line in (*lines, describe_predictions(predictions), describe_differences(differences)):
        log.info("%s", line)
    log.info("see %s", folder / "comparison.md")


def compare_predictions(before: Run, after: Run) -> pd.DataFrame:
    """Compare the predictions of each cell that both runs have.

    Returns
    -------
    DataFrame
        One row per cell. ``same_images``: whether both runs validate on the same images with the same labels, by the
        checksums of the originals if both runs still have a manifest, otherwise by path. ``identical``: whether all
        probabilities are equal digit for digit. ``predictions``, ``changed`` and ``largest_difference`` count common
        predictions, those with another class, and state the largest difference of a probability.

    Raises
    ------
    EntrError
        If a file of these cells is missing or damaged.
    """
    others = set(after.finished_cells())
    common = [cell for cell in before.finished_cells() if cell in others]
    for run in (before, after):
        run.verify_predictions(common)
    rows = [dict(zip(CELL, cell, strict=True)) | _compare_cell(before, after, cell) for cell in common]
    columns = [*CELL, "same_images", "identical", "predictions", "changed", "largest_difference"]
    return pd.DataFrame(rows, columns=columns)


def _compare_cell(before: Run, after: Run, cell: tuple) -> dict[str, Any]:
    paths = [run.cell_file(cell, "predictions.csv") for run in (before, after)]
    tables = [read_table(path) for path in paths]
    common = tables[0].merge(tables[1], on=[*EVALUATION, "label"], suffixes=("", "_after"))
    gaps = [
        (common[name] - common[f"{name}_after"]).abs().max()
        for name in ("probability_of_label", "probability_of_predicted")
    ]
    return {
        "same_images": _same_images(before, after, cell[0], tables),
        "identical": tables[0].equals(tables[1]),
        "predictions": len(common),
        "changed": int((common["predicted"] != common["predicted_after"]).sum()),
        "largest_difference": max(gaps),
    }


def _same_images(before: Run, after: Run, dataset: str, predictions: Iterable[pd.DataFrame]) -> bool:
    """Return whether the predictions of a cell are about the same images with the same labels."""
    checksums = [run.checksums(dataset) for run in (before, after)]
    known = None not in checksums
    seen = []
    for table, manifest in zip(predictions, checksums, strict=True):
        images = table[["image", "label"]].drop_duplicates().itertuples(index=False, name=None)
        seen.append({(image, label, (manifest or {}).get(image) if known else None) for image, label in images})
    return seen[0] == seen[1]


def compare_results(before: Run, after: Run, predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare *A*, *T* and *As* of each dataset, model and regime that both runs have.

    Seeds are paired if at least two of them validate on the same images in both runs. Otherwise the means of the
    runs are compared without pairing, by the method of Welch.

    Parameters
    ----------
    before, after : Run
        The runs.
    predictions : DataFrame
        The table of `compare_predictions`.

    Returns
    -------
    DataFrame
        One row per dataset, model, regime, stage, time basis and metric, at the image size of the phase. ``change`` is
        the difference in *A*, and the natural logarithm of the ratio of *T* and of *As*.

    Raises
    ------
    EntrError
        If the runs have no dataset, model and regime in common.
    """
    same = {tuple(cell) for *cell, is_same in predictions[[*CELL, "same_images"]].itertuples(index=False) if is_same}
    overlap = _overlap([before, after])
    values = [_values_by_seed(run.metrics) for run in (before, after)]
    rows = []
    for key, first in values[0].items():
        second = values[1].get(key)
        if second is not None:
            case = dict(zip(KEY, key, strict=True))
            pairs = [seed for seed in first if seed in second and (*key[: len(GROUP)], seed) in same]
            rows.append(case | _change(first, second, pairs, case["metric"], overlap))
    if not rows:
        raise EntrError(
            "the runs have no dataset, model and regime in common; see the column regime of tables/cells.csv in each"
        )
    return pd.DataFrame(rows)


def _values_by_seed(metrics: pd.DataFrame) -> dict[tuple, dict[int, float]]:
    compared = metrics[metrics["metric"].isin(list(UNITS)) & (metrics["resolution"] == PHASE)]
    return {
        key: dict(zip(group["seed"], group["value"], strict=True)) for key, group in compared.groupby(KEY, sort=False)
    }


def _overlap(runs: Iterable[Run]) -> float:
    """Return the ratio of validation to training images, the larger one of both runs."""
    return max(float((run.cells["validation_images"] / run.cells["training_images"]).mean()) for run in runs)


def _change(
    before: Mapping[int, float], after: Mapping[int, float], pairs: Collection[int], metric: str, overlap: float
) -> dict[str, Any]:
    """Return the change of the mean of one metric, with its interval."""
    row = {
        "seeds_before": len(before),
        "seeds_after": len(after),
        "mean_before": float(np.mean(list(before.values()))),
        "mean_after": float(np.mean(list(after.values()))),
        "unit": UNITS[metric],
    }
    scale = np.asarray if metric == "accuracy" else _logarithm
    samples = scale(list(before.values())), scale(list(after.values()))
    change_unit = "fraction" if metric == "accuracy" else "ln"
    can_be_welch = min(map(len, samples)) >= SMALLEST_SAMPLE
    if len(pairs) >= SMALLEST_SAMPLE or (pairs and not can_be_welch):
        differences = scale([after[seed] for seed in pairs]) - scale([before[seed] for seed in pairs])
        return row | {"pairing": PAIRED} | _paired(differences, change_unit, overlap, len(before), len(after))
    return row | {"pairing": UNPAIRED} | _welch(*samples, change_unit)


def _logarithm(values: list[float]) -> np.ndarray:
    """Return logarithms, NaN where a value is zero, as *As* is if no image is classified correctly."""
    array = np.asarray(values, dtype=float)
    return np.log(array, where=array > 0, out=np.full(len(array), np.nan))


def _paired(differences: np.ndarray, unit: str, overlap: float, *seeds: int) -> dict[str, Any]:
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return _statistics(0, np.nan, unit, note="no value is above zero in both runs")
    result = estimate([differences], overlap)
    notes = []
    if result.replicates < SMALLEST_SAMPLE:
        notes.append("one pair of seeds: no interval")
    elif result.constant:
        notes.append("equal in every pair" if result.mean == 0 else "the same change in every pair: no interval")
    if max(seeds) > result.replicates:
        notes.append("seeds without a counterpart on the same images are left out of the change")
    return _statistics(
        result.replicates,
        result.mean,
        unit,
        result.sd,
        (result.student.low, result.student.high),
        (result.corrected.low, result.corrected.high),
        "; ".join(notes),
    )


def _welch(before: np.ndarray, after: np.ndarray, unit: str) -> dict[str, Any]:
    before, after = (sample[~np.isnan(sample)] for sample in (before, after))
    replicates = min(len(before), len(after))
    note = "other seeds or images: not paired (Welch)"
    if not replicates:
        return _statistics(0, np.nan, unit, note=f"{note}; no value is above zero")
    change = float(after.mean() - before.mean())
    if replicates < SMALLEST_SAMPLE:
        return _statistics(replicates, change, unit, note=f"{note}; one seed: no interval")
    if np.ptp(before) == 0 and np.ptp(after) == 0:
        return _statistics(replicates, change, unit, note=f"{note}; equal in every seed: no interval")
    interval = stats.ttest_ind(after, before, equal_var=False).confidence_interval()
    return _statistics(replicates, change, unit, interval=(float(interval.low), float(interval.high)), note=note)


def _statistics(
    replicates: int,
    change: float,
    unit: str,
    sd: float = np.nan,
    interval: tuple[float, float] = (np.nan, np.nan),
    corrected: tuple[float, float] = (np.nan, np.nan),
    note: str = "",
) -> dict[str, Any]:
    return {
        "replicates": replicates,
        "change": change,
        "change_unit": unit,
        "sd": sd,
        "low": interval[0],
        "high": interval[1],
        "low_corrected": corrected[0],
        "high_corrected": corrected[1],
        "note": note,
    }


def find_differences(before: Run, after: Run) -> Iterator[tuple[str, str, str, str]]:
    """Yield what differs between two runs as section, key, and the values in both runs; empty if not set.

    Sections are ``configuration`` (of the training plans of common cells if a run did not record the whole
    configuration), ``code``, ``machine``, ``packages`` and ``images``. What a run did not record has one row per
    section, with the text ``not recorded``.
    """
    runs = (before, after)
    recorded = [run.provenance for run in runs]
    configurations = [None if one is None else flatten(one.configuration) for one in recorded]
    if None in configurations:
        yield from _not_recorded("configuration", "everything but the training plans", recorded)
        yield from _plan_differences(before, after)
    else:
        yield from _differing("configuration", *configurations)
    code = [None if one is None else _code(one) for one in recorded]
    yield from _not_recorded("code", "digests, version and commit", recorded)
    yield from _differing("code", *code)
    yield from _differing("machine", *(_machine(run) for run in runs))
    yield from _not_recorded("packages", "versions", recorded)
    yield from _differing("packages", *(None if one is None else one.packages for one in recorded))
    yield from _images(before, after)


def _not_recorded(section: str, key: str, recorded: Iterable[object | None]) -> Iterator[tuple[str, str, str, str]]:
    texts = [NOT_RECORDED if one is None else "recorded" for one in recorded]
    if NOT_RECORDED in texts:
        yield section, key, texts[0], texts[1]


def _differing(
    section: str, before: Mapping[str, str] | None, after: Mapping[str, str] | None
) -> Iterator[tuple[str, str, str, str]]:
    if before is None or after is None:
        return
    for key in dict.fromkeys([*before, *after]):
        values = before.get(key, ""), after.get(key, "")
        if values[0] != values[1]:
            yield section, key, *values


def _plan_differences(before: Run, after: Run) -> Iterator[tuple[str, str, str, str]]:
    """Yield the differences of training plans; once if they are the same in all datasets, models and regimes."""
    groups: dict[tuple, tuple] = {}
    others = set(after.finished_cells())
    for cell in before.finished_cells():
        if cell in others:
            groups.setdefault(cell[: len(GROUP)], cell)
    by_key: dict[str, dict[tuple, tuple[str, str]]] = {}
    for group, cell in groups.items():
        plans = [flatten(read_content(run.cell_file(cell, METRICS_FILE))["plan"]) for run in (before, after)]
        for _, key, *values in _differing("", *plans):
            by_key.setdefault(key, {})[group] = (values[0], values[1])
    for key, by_group in by_key.items():
        if len(by_group) == len(groups) and len(set(by_group.values())) == 1:
            yield "configuration", key, *next(iter(by_group.values()))
        else:
            yield from (("configuration", f"{' '.join(group)}: {key}", *pair) for group, pair in by_group.items())


def _code(provenance: Provenance) -> dict[str, str]:
    commit = provenance.commit
    text = NOT_RECORDED if commit is None else commit.id[:12] + (", modified" if commit.modified else "")
    rules = {f"rule {name}": digest for name, digest in provenance.code.items()}
    return {"version": provenance.version, "commit": text, **rules}


def _machine(run: Run) -> dict[str, str]:
    """Return the machines of all cells, several values where cells differ."""
    columns = [name for name in (*MACHINE, "weights") if name in run.cells]
    machine = {name: ", ".join(sorted(set(run.cells[name].astype(str)) - {""})) for name in columns}
    return machine if run.provenance is None else machine | {"platform": run.provenance.platform}


def _images(before: Run, after: Run) -> Iterator[tuple[str, str, str, str]]:
    datasets = [name for name in dict.fromkeys(before.cells["dataset"]) if name in set(after.cells["dataset"])]
    for dataset in datasets:
        first, second = before.checksums(dataset), after.checksums(dataset)
        yield from _not_recorded("images", f"{dataset}: checksums", [first, second])
        if first is None or second is None or first == second:
            continue
        texts = [f"{len(one)} images" for one in (first, second)]
        if texts[0] == texts[1]:
            changed = sum(second.get(image) != checksum for image, checksum in first.items())
            texts[1] += f", {changed} of them with other content or another path"
        yield "images", dataset, texts[0], texts[1]


def _time_basis(runs: Iterable[Run]) -> str:
    """Return the time basis of the second run if it is recorded, otherwise that of the training."""
    provenance = list(runs)[-1].provenance
    return "training" if provenance is None else str(provenance.configuration.get("time_basis", "training"))


def describe_changes(final: pd.DataFrame, metric: str) -> str:
    """Return in one sentence how a metric changed over all datasets, models and regimes.

    Parameters
    ----------
    final : DataFrame
        Rows of `compare_results`, one per dataset, model, regime and metric.
    metric : str
        ``accuracy``, ``time`` or ``efficiency``.
    """
    rows = final[final["metric"] == metric]
    symbol, total = SYMBOLS[metric], len(rows)
    if not total:
        return f"{symbol}: not available at this stage"
    if (rows["change"] == 0).all() and (rows["sd"].fillna(0) == 0).all():
        return f"{symbol}: equal in {_groups(total)}"
    has_interval = rows["low"].notna()
    if not has_interval.any():
        largest = rows.loc[rows["change"].abs().idxmax()] if rows["change"].notna().any() else rows.iloc[0]
        return f"{symbol}: no intervals, because there are too few seeds; largest change {_effect(largest)}"
    changed = rows[(rows["low"] > 0) | (rows["high"] < 0)]
    largest = rows.loc[rows["change"].abs().idxmax()]
    return f"{symbol}: changed in {len(changed)} of {_groups(total)}; largest change {_effect(largest)}"


def _groups(count: int) -> str:
    return "the only group" if count == 1 else f"{count} groups"


def _effect(row: pd.Series) -> str:
    effect = format_effect(row["metric"], row["change"], row["low"], row["high"])
    return f"{effect} ({row['dataset']} {row['model']} {row['regime']})"


def describe_predictions(predictions: pd.DataFrame) -> str:
    """Return in one sentence how many cells have the same predictions in both runs."""
    total, same = len(predictions), predictions[predictions["same_images"].astype(bool)]
    if not total:
        return "predictions: the runs have no cell in common"
    identical = int(predictions["identical"].sum())
    text = f"predictions: identical digit for digit in {identical} of {total} common cells"
    if identical < len(same):
        text += (
            f"; on the same images, {same['changed'].sum()} of {same['predictions'].sum()} predicted classes differ, "
            f"and probabilities by at most {same['largest_difference'].max():.2g}"
        )
    if len(same) < total:
        text += f"; {total - len(same)} of the cells validate on other images"
    return text


def describe_differences(differences: pd.DataFrame) -> str:
    """Return in one sentence how many differences each section has, and which were not recorded."""
    unknown = differences["before"].eq(NOT_RECORDED) | differences["after"].eq(NOT_RECORDED)
    counts = differences[~unknown]["section"].value_counts(sort=False)
    text = ", ".join(f"{count} in {section}" for section, count in counts.items()) or "none is recorded"
    sections = list(dict.fromkeys(differences[unknown]["section"]))
    return f"differences: {text}" + (f"; {', '.join(sections)} {NOT_RECORDED} in both runs" if sections else "")


def _describe_run(run: Run, given: str | Path) -> dict[str, Any]:
    provenance = run.provenance
    if provenance is None:
        return {"folder": str(given), "recorded": NOT_RECORDED, "cells": len(run.cells)}
    code = _code(provenance)
    started = f"{provenance.started:%Y-%m-%d %H:%M} to" if provenance.started else "archived cells, analysed until"
    recorded = f"{started} {provenance.finished:%Y-%m-%d %H:%M} UTC"
    recorded += f", version {code['version']}, commit {code['commit']}"
    return {"folder": str(given), "recorded": recorded, "cells": len(run.cells)}


def _row(group: pd.DataFrame) -> list[str]:
    """Return a row of the table of changes: a dataset, model and regime."""
    by_metric = {row["metric"]: row for _, row in group.iterrows()}
    first = group.iloc[0]
    texts = [first["dataset"], first["model"], first["regime"]]
    for metric, convert in (("accuracy", format_percentage), ("time", format_number)):
        row = by_metric.get(metric)
        if row is None:
            texts += ["", ""]
        else:
            texts += [f"{convert(row['mean_before'])} → {convert(row['mean_after'])}", _change_text(row)]
    efficiency = by_metric.get("efficiency")
    texts.append("" if efficiency is None else _change_text(efficiency))
    return [*texts, f"{first['replicates']} {'pairs' if first['pairing'] == PAIRED else 'seeds'}"]


def _change_text(row: pd.Series) -> str:
    return format_effect(row["metric"], row["change"], row["low"], row["high"])


def _sections(differences: pd.DataFrame) -> dict[str, list[list[str]]]:
    """Return the differences by section, also of sections without any."""
    names = ("configuration", "code", "machine", "packages", "images")
    rows = differences.to_numpy(dtype=str).tolist()
    return {name: [[key, *values] for section, key, *values in rows if section == name] for name in names}
