"""Parts of forest plots: lines of datasets and models, panels by line, and axes of ratios in percent."""

import altair as alt
import numpy as np
import pandas as pd

from entr.figures import charts
from entr.figures.figure_data import FigureData
from entr.metrics.labels import ALL

MODELS = {"means": "datasets", "all": "datasets and models"}
"""Values of the switch for the lines of single models."""
MODELS_FILTER = "(chosen_models === 'all' || datum.scope !== 'block')"
"""Filter for the rows that the switch `models` selects."""
MEAN_OF_ALL = "all datasets"
MAX_TICKS = 8
"""Labels of the axis of a narrow panel."""
ROUND_CHANGES = (-50, 100, 50, -75, 200, 20, -20, -90, 10, -10, 30, -30, 5, -5, 2, -2, 1, -1)
"""Changes in percent that an axis labels, those first that are labelled if there is little room."""


def with_lines(data: FigureData, table: pd.DataFrame) -> pd.DataFrame:
    """Return the treatments of a table by scope, with the column ``line``: the dataset and model, as text.

    A scope is left out if it repeats another one, because there is a single dataset or a single model.

    Parameters
    ----------
    data : FigureData
        The design of the grid.
    table : DataFrame
        Rows with the columns ``scope, dataset, model, regime``.

    Returns
    -------
    DataFrame
        The mean of a dataset comes before its models, and the mean of all datasets last.
    """
    rows = table[
        table["regime"].isin(data.treatments)
        & table["dataset"].isin([*data.titles, ALL])
        & table["model"].isin([*data.design.models, ALL])
    ]
    if len(data.titles) == 1:
        rows = rows[rows["scope"] != ALL]
    if len(data.design.models) == 1:
        rows = rows[rows["scope"] != "block"]
    order = {
        "dataset": {name: rank for rank, name in enumerate([*data.titles, ALL])},
        "model": {name: rank for rank, name in enumerate([ALL, *data.design.models])},
    }
    return rows.assign(
        line=[_line(data, *key) for key in zip(rows["scope"], rows["dataset"], rows["model"], strict=True)]
    ).sort_values(["dataset", "model"], kind="stable", key=lambda names: names.map(order[names.name]))


def _line(data: FigureData, scope: str, dataset: str, model: str) -> str:
    if scope == ALL:
        return MEAN_OF_ALL
    return f"{data.titles[dataset]}{'' if scope == 'dataset' else f', {model}'}"


def models_in(rows: pd.DataFrame) -> dict[str, str]:
    """Return the options of the switch `models`: single models only if the rows have them."""
    return MODELS if (rows["scope"] == "block").any() else {"means": MODELS["means"]}


def by_line(panel: alt.Chart | alt.LayerChart, rows: pd.DataFrame, *, labels: bool = True) -> alt.FacetChart:
    """Return one panel per line, below each other.

    Parameters
    ----------
    panel : chart
        A panel without data.
    rows : DataFrame
        Rows of `with_lines`.
    labels : bool
        Whether the lines are named; a single line is not.
    """
    lines = list(dict.fromkeys(rows["line"]))
    header = alt.Header(labels=False)
    if len(lines) > 1:
        header = alt.Header(labels=labels, labelAngle=0, labelAlign="left", labelFontSize=charts.LABEL_SIZE)
    return panel.facet(data=rows, spacing=6, row=alt.Row("line:N", sort=lines, title=None, header=header))


def signed(change: float) -> str:
    """Return a change with its sign and one decimal."""
    # adding zero removes the sign of a negative zero
    return f"{round(change, 1) + 0:+.1f}".replace("-", "−")


def ratio_axis(low: float, high: float, ticks: int = MAX_TICKS) -> tuple[alt.Axis, alt.Scale]:
    """Return the logarithmic axis of a ratio, labelled by the change in percent, and its scale.

    Parameters
    ----------
    low, high : float
        Limits of the axis, see `ratio_limits`.
    ticks : int
        As many labels as there is room for.
    """
    change = "100 * (datum.value - 1)"
    label = f"round({change}) === 0 ? '0' : format({change}, '+.0f')"
    axis = alt.Axis(labelExpr=label, grid=True, values=_ratio_ticks(low, high, ticks))
    return axis, alt.Scale(domain=[low, high], nice=False, type="log")


def ratio_limits(values: pd.DataFrame, limit: float) -> tuple[float, float]:
    """Return the limits of an axis of ratios, which cut intervals off beyond the ratio `limit`, but no mean."""
    low, high = limits(np.log(values.clip(1e-9, 1e9)), np.log(limit))
    return float(np.exp(low)), float(np.exp(high))


def limits(values: pd.DataFrame, limit: float) -> tuple[float, float]:
    """Return the limits of an axis of differences, which cut intervals off beyond `limit`, but no mean.

    Parameters
    ----------
    values : DataFrame
        Means in the first column, limits of intervals in the others.
    limit : float
        Largest difference at which an interval is shown.
    """
    means = values.iloc[:, 0]
    low = min(0.0, max(values.min().min(), -limit), means.min())
    high = max(0.0, min(values.max().max(), limit), means.max())
    margin = 0.08 * (high - low or 1.0)
    return low - margin, high + margin


def _ratio_ticks(low: float, high: float, most: int) -> list[float]:
    """Return the ratios that an axis labels: round changes, as many as there is room for."""
    distance = np.log(high / low) / most
    ticks = [1.0]
    for change in ROUND_CHANGES:
        ratio = 1 + change / 100
        if low < ratio < high and all(abs(np.log(ratio / tick)) >= distance for tick in ticks):
            ticks.append(ratio)
    return sorted(ticks)
