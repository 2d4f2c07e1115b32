"""A study: its design, what its cells measured, and the verdict on a claim."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd

from entr.analysis.estimation import FLIPS, MARGIN, validation_training_ratio
from entr.analysis.formatting import LOGARITHMIC
from entr.config.study_design import StudyDesign
from entr.metrics.labels import CELL, OTHER, PHASE

SUPPORTED, NOT_SUPPORTED, NOT_TESTED = "supported", "not supported", "not tested here"


@dataclass(frozen=True)
class Study:
    """The design of a study and the metrics of its finished cells."""

    design: StudyDesign
    metrics: pd.DataFrame
    """The table of `aggregation.metrics_table`."""
    margin: float = MARGIN
    """Equivalence margin of accuracies, a fraction."""
    flips: int = FLIPS
    """Largest number of sign flips of a test."""

    @property
    def overlap(self) -> float:
        """Ratio of validation to training images."""
        return validation_training_ratio(self.design.folds)

    def missing_cells(self) -> list[tuple[str, str, str, int]]:
        """Return the dataset, model, regime and seed of the cells of the grid that have no results."""
        finished = set(self.metrics[CELL].drop_duplicates().itertuples(index=False, name=None))
        design = self.design
        grid = product(design.datasets, design.models, design.regimes, design.seeds)
        return [cell for cell in grid if cell not in finished]

    def values(self, metric: str, stage: str, resolution: str = PHASE) -> pd.DataFrame:
        """Return a metric of all cells, or its logarithm if it is compared by ratios.

        Returns
        -------
        DataFrame
            Indexed by dataset and seed, with the column levels ``model`` and ``regime``; empty if no cell
            has the metric.
        """
        return self._values.get((metric, stage, resolution), _NO_VALUES)

    @cached_property
    def _values(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        return dict(self._pivoted())

    def _pivoted(self) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
        # at other resolutions there are several sizes, and no claim is about them
        rows = self.metrics[self.metrics["resolution"] != OTHER]
        rows = rows[rows["time_basis"].isin(["", self.design.time_basis])]
        for key, group in rows.groupby(["metric", "stage", "resolution"], sort=False):
            table = group.pivot(index=["dataset", "seed"], columns=["model", "regime"], values="value")  # noqa: PD010  no mean
            if key[0] in LOGARITHMIC:
                table = np.log(table.where(table > 0))
            yield key, table


_NO_VALUES = pd.DataFrame(
    index=pd.MultiIndex.from_arrays([[], []], names=["dataset", "seed"]),
    columns=pd.MultiIndex.from_arrays([[], []], names=["model", "regime"]),
)


@dataclass(frozen=True)
class Claim:
    """The verdict on one claim, and the comparison that decides it."""

    claim: str
    """``ENTR`` for the hypothesis, ``C1`` to ``C9`` for the claims of the paper."""
    regime: str
    """The treatment that a row of the hypothesis evaluates; empty for a claim of the paper."""
    evaluated_on: str
    """Names of the datasets on which the claim is evaluated."""
    stand_in_for: str
    """Names of the paper's datasets in whose place these are evaluated; empty for the paper's own."""
    statement: str
    verdict: str
    result: str
    """The result of this study, in the terms of `paper`."""
    paper: str
    """The result of the paper."""
    comparison: str
    """What `value` is: the deciding comparison, which is the weakest one."""
    value: float
    low: float
    high: float
    """95 % interval of `value`, corrected for folds that share training images."""
    p: float
    """The deciding p-value; adjusted if only some of several comparisons have to be shown."""
    replicates: float
    reason: str
