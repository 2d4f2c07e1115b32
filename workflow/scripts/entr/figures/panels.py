"""Panels that several figures share: points of seeds and means, and grids of panels by dataset."""

import json
from collections.abc import Sequence

import altair as alt
import pandas as pd

from entr.figures import charts
from entr.figures.charts import field_tooltip, group_tooltip
from entr.figures.figure_data import CELL_GROUP, NO_INTERVAL, FigureData, round_numbers, seed_count, with_intervals
from entr.metrics.labels import STAGES

REGIME_DISTANCE = 13
"""Smallest distance in px between the points of two regimes."""
PANEL_HEIGHT = 170


def seeds_and_means(metrics: pd.DataFrame, summary: pd.DataFrame, keys: Sequence[str], number: str) -> pd.DataFrame:
    """Concatenate the values of seeds and their means.

    Parameters
    ----------
    metrics, summary : DataFrame
        Rows of the tables of these names.
    keys : sequence of str
        Further columns that both have, in addition to dataset, model, regime and size.
    number : str
        Number format of the intervals.

    Returns
    -------
    DataFrame
        Columns ``dataset, model, regime, seed, *keys, size, value, kind, n, low, high, interval``, where ``kind`` is
        ``seed`` or ``mean``.
    """
    seeds = metrics[[*CELL_GROUP, "seed", *keys, "size", "value"]].assign(kind="seed")
    means = summary[[*CELL_GROUP, *keys, "size", "n", "mean", "low", "high"]].rename(columns={"mean": "value"})
    means = with_intervals(means, "value", number).assign(kind="mean")
    return round_numbers(pd.concat([seeds, means], ignore_index=True))


def point_layers(data: FigureData, axis: str, number: str) -> list[alt.Chart]:
    """Return the layers of a panel for the rows of `seeds_and_means`: regimes side by side within each model.

    Parameters
    ----------
    data : FigureData
        The design of the grid.
    axis : str
        Title of the y axis.
    number : str
        Number format of the tooltips.
    """
    regimes = list(data.design.regimes)
    scales = charts.regime_scales(regimes)
    labels = alt.Axis(tickCount=5, **({"format": ".0%"} if "%" in number else {}))
    base = alt.Chart().encode(
        x=alt.X("model:N", sort=list(data.design.models), title=None, axis=alt.Axis(labelAngle=0, labelLimit=140)),
        xOffset=alt.XOffset("regime:N", sort=regimes, scale=alt.Scale(domain=regimes)),
        color=scales["color"],
    )
    y = alt.Y("value:Q", title=axis, scale=alt.Scale(zero=False, nice=True, padding=8), axis=labels)
    seed_tooltip = [
        *group_tooltip(),
        field_tooltip("seed"),
        field_tooltip("size", "evaluated at, px", ".0f"),
        field_tooltip("value", axis, number),
    ]
    mean_tooltip = [
        *group_tooltip(),
        field_tooltip("value", f"mean {axis}", number),
        field_tooltip("interval", "95 % interval"),
        field_tooltip("n", "seeds", ".0f"),
    ]
    seeds = base.transform_filter("datum.kind === 'seed'")
    means = base.transform_filter("datum.kind === 'mean'")
    return [
        seeds.mark_point(size=24, opacity=0.4, filled=True).encode(y=y, shape=scales["shape"], tooltip=seed_tooltip),
        means.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=axis), y2="high:Q"),
        means.mark_point(size=105, strokeWidth=2, filled=False).encode(
            y=y, shape=scales["shape"], tooltip=mean_tooltip
        ),
    ]


def point_panel_width(data: FigureData, rows: pd.DataFrame, panels: int) -> int:
    """Return the width in px of each of several panels side by side in which the regimes do not overlap."""
    regimes, models = len(data.names_in(rows, "regime")), len(data.names_in(rows, "model"))
    return max(charts.panel_width(panels), REGIME_DISTANCE * (regimes + 1) * models)


def by_dataset_and_stage(
    data: FigureData,
    rows: pd.DataFrame,
    layers: Sequence[alt.Chart],
    condition: str,
    reference: Sequence[alt.Chart] = (),
) -> alt.VConcatChart:
    """Return one row of panels per dataset, each with its own y axis, and one column per stage.

    Parameters
    ----------
    data : FigureData
        The design of the grid.
    rows : DataFrame
        As `seeds_and_means` returns them; rows of the kind ``reference`` may be added.
    layers : sequence of chart
        Layers of each panel.
    condition : str
        Filter of the rows.
    reference : sequence of chart
        Layers below the others, for datasets that have rows of the kind ``reference``; without rows Vega warns.
    """
    rows = rows.assign(stage=rows["stage"].map(STAGES))
    measured = rows[rows["kind"] != "reference"]
    stages = [stage for stage in STAGES.values() if stage in set(rows["stage"])]
    width = point_panel_width(data, measured, len(stages))
    # two lines: "after fine-tuning", "with test-time augmentation"
    label = "split(datum.label, ', ')"
    lines: list[alt.FacetChart] = []
    for dataset in data.names_in(measured, "dataset"):
        own = rows[rows["dataset"] == dataset]
        below = reference if "reference" in set(own["kind"]) else ()
        panel = alt.layer(*below, *layers).properties(data=own, width=width, height=PANEL_HEIGHT)
        column = alt.Column("stage:N", sort=stages, title=None, header=alt.Header(labels=not lines, labelExpr=label))
        panel = panel.transform_filter(condition)
        lines.append(panel.facet(column=column, spacing=10, title=charts.panel_title(dataset)))
    return alt.vconcat(*lines, spacing=16)


def by_dataset_and_model(
    data: FigureData,
    rows: pd.DataFrame,
    panel: alt.LayerChart,
    height: int = PANEL_HEIGHT,
    independent: Sequence[str] = ("x", "y"),
) -> alt.FacetChart:
    """Return one row of panels per dataset and one column per model.

    Parameters
    ----------
    data : FigureData
        The design of the grid.
    rows : DataFrame
        The data of all panels.
    panel : chart
        A panel without data.
    height : int
        Height of a panel in px.
    independent : sequence of str
        Scales that each panel has for itself.
    """
    models, datasets = data.names_in(rows, "model"), data.names_in(rows, "dataset")
    panel = panel.properties(data=rows, width=charts.panel_width(len(models)), height=height)
    return panel.facet(
        row=alt.Row("dataset:N", sort=datasets, title=None),
        column=alt.Column("model:N", sort=models, title=None),
        spacing=14,
    ).resolve_scale(**dict.fromkeys(independent, "independent"))


def mark_size_changes(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Add the columns ``changes``, whether the size differs from that of the epoch before, and ``label``, the new size.

    Parameters
    ----------
    rows : DataFrame
        Rows in the order of their epochs.
    keys : sequence of str
        Columns that identify a curve.
    """
    changes = rows["size"] != rows.groupby(list(keys))["size"].shift()
    return rows.assign(changes=changes, label=rows["size"].astype(str).where(changes & (rows["epoch"] > 1), ""))


def size_labels(changes: alt.Chart, regimes: Sequence[str]) -> alt.Chart:
    """Return the labels of size changes, on two sides of the points, so that neighbouring regimes do not overlap."""
    is_below = f"indexof({json.dumps(list(regimes))}, datum.regime) % 2"
    return changes.mark_text(
        dx=alt.expr(f"{is_below} ? 4 : -5"),
        dy=alt.expr(f"{is_below} ? 12 : -8"),
        align=alt.expr(f"{is_below} ? 'left' : 'right'"),
        fontSize=10,
    ).encode(text="label:N")


def describe_groups(data: FigureData, rows: pd.DataFrame) -> str:
    """Return the regimes, models and datasets that occur in rows, as text."""
    regimes, models, datasets = (", ".join(data.names_in(rows, column)) for column in ("regime", "model", "dataset"))
    return f"{regimes} for {models} on {datasets}"


def describe_points(rows: pd.DataFrame) -> str:
    """Return what the points and lines of `point_layers` are, as text."""
    means = rows[rows["kind"] == "mean"]
    seeds = seed_count(means)
    points = seeds if seeds == "one replicate" else f"small points: {seeds}, large points: means"
    return f"{points}, lines: 95 % intervals" if (means["interval"] != NO_INTERVAL).any() else points
