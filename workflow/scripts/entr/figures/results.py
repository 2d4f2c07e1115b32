"""What figures are drawn from: tables, and the names and the order that all figures share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

TEXT = {
    "dataset", "model", "regime", "stage", "at", "measure", "basis", "unit", "phase", "layers", "label", "predicted",
    "example", "scope", "weights", "device", "family", "note",
}  # fmt: skip
"""Columns in which 'nan' or nothing is a name and no missing number."""
STAGES = {
    "sub-total": "before re-training",
    "total": "after re-training",
    "total-tta": "with test-time augmentation",
}
FINAL = "total-tta"
CELL = ["dataset", "model", "regime", "seed"]
BASES = {
    "training": "seconds in training steps, measured",
    "forward": "seconds of the forward passes that the schedule asks for",
    "latency": "seconds to predict one image with the finished network",
}
WEIGHTS = {"imagenet": "ImageNet weights", "none": "random first weights, all layers trained"}


@dataclass(frozen=True)
class Results:
    """The tables of a grid, whole or in part, and how it is configured."""

    tables: Mapping[str, pd.DataFrame]
    """By the names of their files."""
    datasets: Mapping[str, str]
    """Titles by name, in order."""
    models: Sequence[str]
    regimes: Sequence[str]
    control: str
    basis: str
    """The *T* that is shown first: a key of `BASES`."""
    plans: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By dataset and regime: `regimes.Plan` as plain values."""
    images: Mapping[str, str | Path] = field(default_factory=dict)
    """Folders of small images by dataset."""

    @classmethod
    def read(cls, paths: Iterable[str | Path], **configured: Any) -> Self:  # noqa: ANN401  the other fields
        """Read tables; one that is empty has no columns."""
        return cls(tables={Path(path).stem: read_table(path) for path in paths}, **configured)

    @property
    def titles(self) -> dict[str, str]:
        """Titles of the datasets, told apart where two are the same."""
        titles = list(self.datasets.values())
        return {
            name: title if titles.count(title) == 1 else f"{title} ({name})" for name, title in self.datasets.items()
        }

    @property
    def treatments(self) -> list[str]:
        """Every regime but the control."""
        return [regime for regime in self.regimes if regime != self.control]

    def rows(self, table: str, **values: str | Sequence[str]) -> pd.DataFrame:
        """Return those rows of a table that belong to the grid, and hold one of the values given.

        Parameters
        ----------
        table : str
            Name of a table.
        **values : str or sequence of str
            By column.

        Returns
        -------
        DataFrame
            With datasets by their titles.
        """
        rows = self.tables.get(table, pd.DataFrame())
        wanted = {"dataset": [*self.datasets], "model": [*self.models], "regime": [*self.regimes]}
        if not len(rows):
            return pd.DataFrame(columns=[*rows.columns, *wanted, *values])
        for column, given in ({key: value for key, value in wanted.items() if key in rows} | values).items():
            rows = rows[rows[column].isin([given] if isinstance(given, str) else given)]
        return rows.assign(dataset=rows["dataset"].map(self.titles)) if "dataset" in rows else rows

    def finished(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return those rows whose cells are finished; a grid that grows has history of others too."""
        runs = self.rows("runs")
        return rows.merge(runs[CELL], on=CELL) if len(runs) else rows.iloc[:0]

    def shown(self, rows: pd.DataFrame, what: str) -> list[str]:
        """Return the datasets (titles), models or regimes that rows have, in the configured order."""
        order = {"dataset": list(self.titles.values()), "model": self.models, "regime": self.regimes}[what]
        return [name for name in order if name in set(rows[what])]

    def bases(self, rows: pd.DataFrame) -> dict[str, str]:
        """Return the bases of *T* that rows have, the configured one first if it is there."""
        there = [basis for basis in BASES if basis in set(rows["basis"])]
        first = [basis for basis in there if basis == self.basis]
        return {basis: BASES[basis] for basis in [*first, *(one for one in there if one not in first)]}

    def effects(self, measure: str, stage: str, basis: str, **keys: str) -> dict[str, float]:
        """Return the mean effect of each treatment over all datasets and models, as the verdict has it."""
        table = self.tables.get("effects", pd.DataFrame())
        if not len(table):
            return {}
        keys = {"scope": "all", "at": "phase", "measure": measure, "stage": stage, "basis": basis} | keys
        for column, value in keys.items():
            table = table[table[column] == value]
        means = table.set_index("regime")["mean"]
        return {
            regime: float(means[regime]) for regime in self.treatments if regime in means and pd.notna(means[regime])
        }

    def conditions(self) -> str:
        """Say what a reader has to know of the runs: first weights and device."""
        runs = self.tables.get("runs", pd.DataFrame())
        if not len(runs):
            return ""
        weights = " and ".join(WEIGHTS.get(kind, f"weights of {kind}") for kind in sorted(set(runs["weights"])))
        return f"{weights}; {', '.join(sorted(set(runs['device'])))}"


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table in which names are text, whatever they look like."""
    try:
        columns = pd.read_csv(path, nrows=0).columns
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    numbers = {column: [""] for column in columns if column not in TEXT}
    text = dict.fromkeys(TEXT & set(columns), str)
    return pd.read_csv(path, keep_default_na=False, na_values=numbers, dtype=text)


def replicates(rows: pd.DataFrame, counts: str = "n") -> str:
    """Say of how many seeds the rows are means."""
    if not len(rows):
        return "no seeds"
    fewest, most = int(rows[counts].min()), int(rows[counts].max())
    if most == 1:
        return "one replicate"
    return f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"


def with_intervals(rows: pd.DataFrame, mean: str, number: str, suffix: str = "") -> pd.DataFrame:
    """Say the interval of each row in words, and draw one that is missing as a point.

    In a tool tip a number that is missing would read as zero, and of marks without any Vega complains.

    Parameters
    ----------
    rows : DataFrame
        With columns ``low`` and ``high``.
    mean : str
        The column that the interval is of.
    number : str
        Format of the words.
    suffix : str
        Of the two columns, and of ``interval``, which is added.
    """
    low, high = rows[f"low{suffix}"], rows[f"high{suffix}"]
    said = ["none" if pd.isna(a) else f"{a:{number}} to {b:{number}}" for a, b in zip(low, high, strict=True)]
    ends = {f"low{suffix}": low.fillna(rows[mean]), f"high{suffix}": high.fillna(rows[mean])}
    return rows.assign(**ends, **{f"interval{suffix}": said})


def whole_blocks(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of those datasets, models and seeds that have every regime, so that means compare."""
    blocks = rows.groupby(["dataset", "model", "seed"])["regime"].transform("nunique")
    whole = rows[blocks == rows["regime"].nunique()]
    return whole if len(whole) else rows


def rounded(rows: pd.DataFrame, digits: int = 5) -> pd.DataFrame:
    """Return numbers with so many significant digits, for charts carry their data."""
    columns = rows.select_dtypes("floating").columns
    return rows.assign(**{column: _rounded(rows[column].to_numpy(dtype=float), digits) for column in columns})


def _rounded(values: np.ndarray, digits: int) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(values))))
        return np.where(np.isfinite(scale), np.round(values * scale) / scale, values)
