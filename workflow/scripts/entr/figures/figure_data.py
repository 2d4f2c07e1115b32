"""The data of a figure: tables of a grid, its design, and the order of datasets, models and regimes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from entr.config.study_design import StudyDesign
from entr.jobs.tables import read_table
from entr.metrics.labels import ALL, CELL, FINAL, PHASE, STAGES, TIME_BASES, describe_networks

CELL_GROUP = ["dataset", "model", "regime"]
"""Columns of the cells that differ only in the seed."""
NO_INTERVAL = "not available"
MANY_REGIMES = 7
"""Number of regimes from which on a title does not name each of them, and curves have a panel each."""


@dataclass(frozen=True)
class FigureData:
    """The tables from which a figure is drawn, of a complete or a partial grid, and the design of the grid."""

    tables: Mapping[str, pd.DataFrame]
    """By the name of the file."""
    design: StudyDesign
    plans: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Training plans by dataset and regime, as plain values."""
    images: Mapping[str, str | Path] = field(default_factory=dict)
    """Directories of downscaled images by dataset."""

    @classmethod
    def read(
        cls,
        paths: Iterable[str | Path],
        design: StudyDesign,
        *,
        plans: Mapping[str, Mapping[str, Any]] | None = None,
        images: Mapping[str, str | Path] | None = None,
    ) -> Self:
        """Read the tables of a figure.

        Parameters
        ----------
        paths : iterable of path
            CSV files.
        design : StudyDesign
            The design of the grid.
        plans : mapping, optional
            Training plans by dataset and regime, as plain values.
        images : mapping, optional
            Directories of downscaled images by dataset.
        """
        tables = {Path(path).stem: read_table(path) for path in paths}
        return cls(tables=tables, design=design, plans=plans or {}, images=images or {})

    @property
    def titles(self) -> dict[str, str]:
        """Titles of the datasets; equal titles are made unique by the name of the dataset."""
        titles = list(self.design.datasets.values())
        return {
            name: title if titles.count(title) == 1 else f"{title} ({name})"
            for name, title in self.design.datasets.items()
        }

    @property
    def treatments(self) -> list[str]:
        """Every regime except the control."""
        return [regime for regime in self.design.regimes if regime != self.design.control]

    @property
    def has_many_regimes(self) -> bool:
        """Whether the curves of all regimes could not be told apart in one panel."""
        return len(self.design.regimes) >= MANY_REGIMES

    def describe_regimes(self, rows: pd.DataFrame) -> str:
        """Return the regimes that occur in rows, as text; of many, their number."""
        regimes = self.names_in(rows, "regime")
        return f"{len(regimes)} regimes" if len(regimes) >= MANY_REGIMES else ", ".join(regimes)

    def describe_values(self, values: Mapping[str, float], number: Callable[[float], str]) -> str:
        """Return a value of each regime as text; of many, the lowest and the highest.

        Parameters
        ----------
        values : mapping of str to float
            Value by regime; regimes that are not in the grid are left out.
        number : function
            Formats a value.
        """
        known = {regime: values[regime] for regime in self.design.regimes if regime in values}
        if len(known) < MANY_REGIMES:
            return ", ".join(f"{regime} {number(value)}" for regime, value in known.items())
        lowest, highest = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        limits = [f"{regime} {number(known[regime])}" for regime in (lowest, highest)]
        return f"from {' to '.join(limits)} ({len(known)} regimes)"

    def rows(self, table: str, **values: str | Sequence[str]) -> pd.DataFrame:
        """Return the rows of a table that belong to the grid and have certain values.

        Parameters
        ----------
        table : str
            Name of the table.
        **values : str or sequence of str
            Accepted values by column.

        Returns
        -------
        DataFrame
            The rows, with the titles of the datasets in place of their names.
        """
        rows = self.tables.get(table, pd.DataFrame())
        grid = {
            "dataset": list(self.design.datasets),
            "model": list(self.design.models),
            "regime": list(self.design.regimes),
        }
        if not len(rows):
            return pd.DataFrame(columns=[*rows.columns, *grid, *values])
        accepted: dict[str, str | Sequence[str]] = {column: grid[column] for column in grid if column in rows}
        for column, given in (accepted | values).items():
            rows = rows[rows[column].isin([given] if isinstance(given, str) else given)]
        return rows.assign(dataset=rows["dataset"].map(self.titles)) if "dataset" in rows else rows

    def of_finished_cells(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of finished cells; the history of a running grid has rows of other cells too."""
        cells = self.rows("cells")
        return rows.merge(cells[CELL], on=CELL) if len(cells) else rows.iloc[:0]

    def names_in(self, rows: pd.DataFrame, column: str) -> list[str]:
        """Return the dataset titles, models or regimes that occur in rows, in the configured order."""
        order = {"dataset": self.titles.values(), "model": self.design.models, "regime": self.design.regimes}[column]
        return [name for name in order if name in set(rows[column])]

    def time_bases(self, rows: pd.DataFrame) -> dict[str, str]:
        """Return the time bases that occur in rows, in words; the configured one comes first."""
        order = sorted(TIME_BASES, key=lambda time_basis: time_basis != self.design.time_basis)
        return {time_basis: TIME_BASES[time_basis] for time_basis in order if time_basis in set(rows["time_basis"])}

    def final_effects(
        self, metric: str, time_basis: str, number: Callable[[float], str], *, resolution: str = PHASE
    ) -> str:
        """Return the mean effect of the treatments on the final results over all datasets and models, as text.

        Parameters
        ----------
        metric, time_basis, resolution : str
            Values of the columns of the effects table.
        number : function
            Formats a mean.
        """
        effects = self.tables.get("effects", pd.DataFrame())
        if not len(effects):
            return ""
        pooled = effects[
            (effects["scope"] == ALL)
            & (effects["stage"] == FINAL)
            & (effects["metric"] == metric)
            & (effects["time_basis"] == time_basis)
            & (effects["resolution"] == resolution)
        ]
        means = pooled.set_index("regime")["mean"].dropna()
        return self.describe_values({regime: means[regime] for regime in self.treatments if regime in means}, number)

    def conditions(self) -> str:
        """Return the initial weights, the scale of the image sizes and the devices of the cells, as text."""
        cells = self.tables.get("cells", pd.DataFrame())
        if not len(cells):
            return ""
        networks = describe_networks(cells["weights"], cells["scale"])
        return f"{networks}; {', '.join(sorted(set(cells['device'])))}"


def stages_in(rows: pd.DataFrame) -> dict[str, str]:
    """Return the stages that occur in rows, in words; the final one comes first."""
    return {stage: words for stage, words in reversed(STAGES.items()) if stage in set(rows["stage"])}


def seed_count(rows: pd.DataFrame, column: str = "n") -> str:
    """Return the number of seeds of which the rows are means, as text."""
    if not len(rows):
        return "no seeds"
    fewest, most = int(rows[column].min()), int(rows[column].max())
    if most == 1:
        return "one replicate"
    return f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"


def with_intervals(rows: pd.DataFrame, mean: str, number: str, suffix: str = "") -> pd.DataFrame:
    """Add the interval of each row as text, and replace missing limits by the mean.

    In a tooltip, a missing limit would read as zero, and Vega warns about marks without any data.

    Parameters
    ----------
    rows : DataFrame
        Rows with the columns ``low`` and ``high``.
    mean : str
        Column of the means.
    number : str
        Number format.
    suffix : str
        Suffix of the two columns, and of the new column ``interval``.
    """
    low, high = rows[f"low{suffix}"], rows[f"high{suffix}"]
    texts = [NO_INTERVAL if pd.isna(a) else f"{a:{number}} to {b:{number}}" for a, b in zip(low, high, strict=True)]
    limits = {f"low{suffix}": low.fillna(rows[mean]), f"high{suffix}": high.fillna(rows[mean])}
    return rows.assign(**limits, **{f"interval{suffix}": texts})


def complete_blocks(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the datasets, models and seeds that have every regime, so that means are comparable."""
    regimes = rows.groupby(["dataset", "model", "seed"])["regime"].transform("nunique")
    complete = rows[regimes == rows["regime"].nunique()]
    return complete if len(complete) else rows


def round_numbers(rows: pd.DataFrame, digits: int = 5) -> pd.DataFrame:
    """Round to significant digits, because charts embed their data."""
    columns = rows.select_dtypes("floating").columns
    return rows.assign(**{column: _round(rows[column].to_numpy(dtype=float), digits) for column in columns})


def _round(values: np.ndarray, digits: int) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(values))))
        return np.where(np.isfinite(scale), np.round(values * scale) / scale, values)
