"""Panels that several figures share: points of seeds and means, and grids of panels by dataset."""

import json
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from entr.figures import charts, palette
from entr.figures.charts import field_tooltip, group_tooltip
from entr.figures.figure_data import CELL_GROUP, NO_INTERVAL, FigureData, round_numbers, seed_count, with_intervals
from entr.metrics.labels import STAGES

REGIME_HEIGHT = 20
"""Height in px of the line of one regime."""
PANEL_HEIGHT = 220
LABEL_DISTANCE = 15
"""Smallest vertical distance in px between the labels of two curves."""
MAX_LABELLED = 4
"""Curves that are labelled directly; if there are more, there is a legend."""


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


def point_layers(data: FigureData, axis: str, number: str, *, labels: bool = True) -> list[alt.Chart]:
    """Return the layers of a panel for the rows of `seeds_and_means`: one labelled line per regime.

    Parameters
    ----------
    data : FigureData
        The design of the grid.
    axis : str
        Title of the x axis.
    number : str
        Number format of the tooltips.
    labels : bool
        Whether the regimes are named, see `charts.regime_axis`.
    """
    regimes = list(data.design.regimes)
    scales = charts.regime_scales(regimes, legend=False)
    ticks = alt.Axis(tickCount=4, **({"format": ".3~p"} if number == ".1%" else {}))
    base = alt.Chart().encode(
        y=alt.Y("regime:N", sort=regimes, title=None, axis=charts.regime_axis(regimes, labels=labels)),
        color=scales["color"],
    )
    x = alt.X("value:Q", title=axis, scale=alt.Scale(zero=False, nice=True, padding=12), axis=ticks)
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
        seeds.mark_point(size=26, opacity=0.4, filled=True).encode(x=x, shape=scales["shape"], tooltip=seed_tooltip),
        means.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=axis), x2="high:Q"),
        means.mark_point(size=105, strokeWidth=2, filled=False).encode(
            x=x, shape=scales["shape"], tooltip=mean_tooltip
        ),
    ]


def by_dataset_and_stage(
    data: FigureData,
    rows: pd.DataFrame,
    layers: Sequence[alt.Chart],
    condition: str,
    reference: Sequence[alt.Chart] = (),
) -> alt.VConcatChart:
    """Return one row of panels per dataset and model, and one column per stage; datasets have their own x axes.

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
    models = data.names_in(measured, "model")
    height = REGIME_HEIGHT * len(data.names_in(measured, "regime"))
    # two lines: "after fine-tuning", "with test-time augmentation"
    label = "split(datum.label, ', ')"
    lines: list[alt.FacetChart] = []
    for dataset in data.names_in(measured, "dataset"):
        own = rows[rows["dataset"] == dataset]
        below = reference if "reference" in set(own["kind"]) else ()
        panel = alt.layer(*below, *layers).properties(data=own, width=charts.panel_width(len(stages)), height=height)
        header = alt.Header(labels=not lines, labelExpr=label, labelPadding=16 if reference else 6)
        column = alt.Column("stage:N", sort=stages, title=None, header=header)
        panel = panel.transform_filter(condition)
        lines.append(
            panel.facet(
                column=column, spacing=18, title=charts.panel_title(dataset), **model_rows(models, own["model"])
            )
        )
    return alt.vconcat(*lines, spacing=20)


def model_rows(models: Sequence[str], available: pd.Series, *, labels: bool = True) -> dict[str, alt.Row]:
    """Return the row channel of a facet by model, if there are several models."""
    if len(models) == 1:
        return {}
    header = alt.Header(
        labels=labels, labelAngle=0, labelAlign="left", labelFontSize=charts.LABEL_SIZE, labelFontWeight="normal"
    )
    present = [model for model in models if model in set(available)]
    return {"row": alt.Row("model:N", sort=present, title=None, header=header)}


def by_dataset_and_model(
    data: FigureData,
    rows: pd.DataFrame,
    panel: alt.Chart | alt.LayerChart,
    height: int = PANEL_HEIGHT,
    independent: Sequence[str] = ("x", "y"),
) -> alt.FacetChart | alt.VConcatChart:
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
    models = data.names_in(rows, "model")
    panel = panel.properties(data=rows, width=charts.panel_width(len(models)), height=height)
    if len(models) == 1:
        return facet_by_dataset(data, panel, rows, suffix=f", {models[0]}", independent=independent)
    column = alt.Column("model:N", sort=models, title=None)
    return facet_by_dataset(data, panel, rows, column, independent=independent)


def facet_by_dataset(
    data: FigureData,
    panel: alt.Chart | alt.LayerChart,
    rows: pd.DataFrame,
    column: alt.Column | None = None,
    *,
    suffix: str = "",
    independent: Sequence[str] = (),
) -> alt.FacetChart | alt.VConcatChart:
    """Return one row of panels per dataset; a single dataset is named above the panels.

    Parameters
    ----------
    data : FigureData
        The design of the grid.
    panel : chart
        A panel.
    rows : DataFrame
        The data of all panels.
    column : column, optional
        The columns of panels.
    suffix : str
        Text after the name of each dataset.
    independent : sequence of str
        Scales that each panel has for itself.
    """
    datasets = data.names_in(rows, "dataset")
    single = len(datasets) == 1
    header = alt.Header(labelExpr=f"datum.label + {json.dumps(suffix)}", labels=not single)
    row = alt.Row("dataset:N", sort=datasets, title=None, header=header)
    # aligned one by one, because labels of curves make the last column wider
    facet = panel.facet(row=row, spacing=16, align="each", **({"column": column} if column else {}))
    facet = facet.resolve_scale(**dict.fromkeys(independent, "independent"))
    # within a concatenation, because the title of the figure would replace that of the facet
    return alt.vconcat(facet.properties(title=charts.panel_title(datasets[0] + suffix))) if single else facet


def with_curve_labels(
    rows: pd.DataFrame,
    x: str,
    y: str,
    *,
    column: str = "model",
    columns: Sequence[str],
    keys: Sequence[str] = ("dataset",),
    height: int = PANEL_HEIGHT,
) -> pd.DataFrame:
    """Add the columns ``curve_label``, ``label_x`` and ``label_y``: labels of the curves in the last column of panels.

    There are none if there are many curves, or if a curve is missing from a panel of that column. Then there has to
    be a legend, see `are_labelled`.

    Parameters
    ----------
    rows : DataFrame
        The points of the curves, one curve per regime.
    x, y : str
        Columns of the coordinates.
    column : str
        Column of the table whose values are the columns of panels.
    columns : sequence of str
        Its values in the order of the panels.
    keys : sequence of str
        Columns of the table that select one of several sets of curves in a column of panels.
    height : int
        Height of a panel in px.
    """
    rows = rows.assign(curve_label="", label_x=np.nan, label_y=np.nan)
    regimes = rows["regime"].unique()
    last = rows[rows[column] == columns[-1]]
    counts = last.groupby(list(keys))["regime"].nunique()
    if (
        len(regimes) > MAX_LABELLED
        or len(counts) < len(rows[list(keys)].drop_duplicates())
        or counts.min() < len(regimes)
    ):
        return rows
    # elsewhere an empty label per panel, because Vega warns about layers without any data
    firsts = rows[rows[column] != columns[-1]].drop_duplicates([column, *keys])
    rows.loc[firsts.index, "curve_label"] = " "
    rows.loc[firsts.index, ["label_x", "label_y"]] = firsts[[x, y]].to_numpy()
    for _, panel in last.groupby(list(keys), sort=False):
        ends = panel.loc[panel.groupby("regime")[x].idxmax()].sort_values(y)
        low, high = panel[y].min(), panel[y].max()
        distance = LABEL_DISTANCE / height * (high - low)
        rows.loc[ends.index, "curve_label"] = ends["regime"]
        rows.loc[ends.index, "label_x"] = panel[x].max()
        rows.loc[ends.index, "label_y"] = spread(ends[y].to_numpy(dtype=float), distance, high)
    return rows


def are_labelled(rows: pd.DataFrame) -> bool:
    """Return whether `with_curve_labels` labelled curves."""
    return bool((rows["curve_label"] != "").any())


def spread(values: np.ndarray, distance: float, high: float) -> np.ndarray:
    """Return ascending values moved apart to at least a distance, and not above a limit unless there is no room."""
    positions = values.copy()
    for index in range(1, len(positions)):
        positions[index] = max(positions[index], positions[index - 1] + distance)
    ceiling = high
    for index in reversed(range(len(positions))):
        positions[index] = min(positions[index], ceiling)
        ceiling = positions[index] - distance
    return positions


def curve_labels(base: alt.Chart, rows: pd.DataFrame, regimes: Sequence[str], title: str) -> list[alt.Chart]:
    """Return the layer of labels of the curves of `with_curve_labels`, right of the panel, if they are labelled.

    Parameters
    ----------
    base : chart
        A chart without encodings that has the filters of the curves.
    rows : DataFrame
        As `with_curve_labels` returns them.
    regimes : sequence of str
        The regimes of the grid.
    title : str
        Title of the y axis.
    """
    if not are_labelled(rows):
        return []
    labels = (
        base.transform_filter("datum.curve_label")
        .mark_text(
            align="left", dx=9, fontSize=charts.LABEL_SIZE, fontWeight="bold", color=charts.regime_text_colour(regimes)
        )
        .encode(x="label_x:Q", y=alt.Y("label_y:Q", title=title), text="curve_label:N")
    )
    return [labels]


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
        fontSize=11,
        color=palette.MUTED,
    ).encode(text="label:N", color=alt.value(palette.MUTED))


def describe_groups(data: FigureData, rows: pd.DataFrame) -> str:
    """Return the regimes, models and datasets that occur in rows, as text."""
    models, datasets = (", ".join(data.names_in(rows, column)) for column in ("model", "dataset"))
    return f"{data.describe_regimes(rows)} for {models} on {datasets}"


def describe_points(rows: pd.DataFrame) -> str:
    """Return what the points and lines of `point_layers` are, as text."""
    means = rows[rows["kind"] == "mean"]
    seeds = seed_count(means)
    points = seeds if seeds == "one replicate" else f"small points: {seeds}, large points: means"
    return f"{points}, lines: 95 % intervals" if (means["interval"] != NO_INTERVAL).any() else points
