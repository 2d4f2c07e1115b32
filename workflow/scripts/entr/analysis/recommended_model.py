"""The recommended model of a dataset, as the jobs that use it read it."""

from pathlib import Path

import pandas as pd

from entr.jobs.errors import EntrError
from entr.jobs.tables import read_table


def read_recommended_model(recommendation: str | Path, dataset: str) -> pd.Series:
    """Return the recommended row of a dataset.

    Parameters
    ----------
    recommendation : path
        The table of `recommendation.write_recommendation`.
    dataset : str
        Which dataset.

    Raises
    ------
    EntrError
        If no model is recommended, or the table is damaged.
    """
    table = read_table(recommendation)
    rows = table[table["dataset"] == dataset] if len(table) else table
    recommended = rows[rows["recommended"].astype(bool)] if len(rows) else rows
    if not len(recommended):
        reasons = rows.loc[rows["goal"] == "within_limits", "comparison"] if len(rows) else []
        reason = "; ".join(reasons) or "no cell is finished"
        raise EntrError(f"no model of {dataset} is recommended: {reason}; change the limits in recommend")
    return recommended.iloc[0]
