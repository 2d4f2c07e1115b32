"""Learning curves: accuracy and losses by epoch."""

import altair as alt
import pandas as pd

from entr.figures import charts, panels, small_multiples
from entr.figures.charts import field_tooltip, group_tooltip, switch, switch_filter, switched_text, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, complete_blocks, round_numbers, seed_count
from entr.figures.label_room import with_room
from entr.metrics.labels import CELL

CURVES = {
    "accuracy": "validation accuracy",
    "validation_loss": "validation loss, nats",
    "training_loss": "training loss, nats",
}
"""Columns of the history, as they are labelled."""
AXIS = "accuracy, or loss in nats"


def plot(data: FigureData) -> charts.Spec:
    """Plot accuracy and losses by epoch, with the changes of image size."""
    history = data.rows("history")
    if not len(history):
        return charts.empty_chart("No learning curves to plot yet: no cell has finished a phase")
    statistics = _statistics_by_epoch(history)
    curve_switch = switch("curve", "curve", CURVES)
    titles = {curve: _title(data, history, curve) for curve in CURVES}
    subtitle = f"mean and range of {seed_count(statistics)}; labels: image size in px"
    if data.has_many_regimes:
        model_switch, models, model_text = small_multiples.model_switch(data, statistics)
        spec = with_title(
            _panels_by_regime(data, statistics),
            {(curve, model): title for curve, title in titles.items() for model in models},
            [
                switched_text(curve_switch, CURVES),
                model_text,
                f"{subtitle}; {small_multiples.legend(data)}",
            ],
            "Curves by epoch of each regime, one panel per dataset and regime.",
            [curve_switch, model_switch],
            conditions=data.conditions(),
        )
        return with_room(spec)
    return with_title(
        _panels_by_model(data, statistics),
        titles,
        [switched_text(curve_switch, CURVES), subtitle],
        "Curves by epoch of each regime, one panel per dataset and model.",
        [curve_switch],
        conditions=data.conditions(),
    )


def _panels_by_model(data: FigureData, statistics: pd.DataFrame) -> alt.FacetChart | alt.VConcatChart:
    models = data.names_in(statistics, "model")
    rows = panels.with_curve_labels(statistics, "epoch", "mean", columns=models, keys=["dataset", "curve"])
    scales = charts.regime_scales(data.design.regimes, legend=not panels.are_labelled(rows))
    base = (
        alt.Chart()
        .transform_filter(switch_filter("curve"))
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, tickCount=10)),
            color=scales["color"],
        )
    )
    y = alt.Y("mean:Q", title=AXIS, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=5))
    changes = base.transform_filter("datum.changes")
    panel = alt.layer(
        base.mark_area(opacity=0.15).encode(y=alt.Y("minimum:Q"), y2="maximum:Q"),
        base.mark_line(strokeWidth=2).encode(y=y),
        base.mark_point(filled=True, size=16, opacity=1).encode(y=y, tooltip=_tooltip()),
        changes.mark_point(filled=True, size=80, opacity=1).encode(y=y, shape=scales["shape"], tooltip=_tooltip()),
        panels.size_labels(changes, data.design.regimes).encode(y=y),
        *panels.curve_labels(alt.Chart().transform_filter(switch_filter("curve")), rows, data.design.regimes, AXIS),
    )
    return panels.by_dataset_and_model(data, rows, panel)


def _panels_by_regime(data: FigureData, statistics: pd.DataFrame) -> alt.VConcatChart:
    rows = small_multiples.thin_out_labels(statistics, ["curve", *CELL_GROUP], "epoch")
    curve = (
        alt.Chart()
        .transform_filter(switch_filter("curve", "model"))
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, tickCount=4)),
            y=alt.Y(
                "mean:Q",
                title=["accuracy, or", "loss in nats"],
                scale=small_multiples.SCALE_WITH_LABELS,
                axis=alt.Axis(tickCount=4),
            ),
        )
    )
    base = curve.encode(color=small_multiples.colour(data))
    changes = base.transform_filter("datum.changes")
    layers = [
        base.mark_area(opacity=0.2).encode(y=alt.Y("minimum:Q"), y2="maximum:Q"),
        base.mark_line(strokeWidth=2),
        base.mark_point(filled=True, size=14, opacity=1).encode(tooltip=_tooltip()),
        changes.mark_point(filled=True, size=50, opacity=1).encode(tooltip=_tooltip()),
        *small_multiples.size_labels(changes),
    ]
    return small_multiples.by_regime(data, rows, layers, curve)


def _tooltip() -> list[alt.Tooltip]:
    return [
        *group_tooltip(),
        field_tooltip("phase"),
        field_tooltip("epoch", "epoch", ".0f"),
        field_tooltip("size", "image size, px", ".0f"),
        field_tooltip("mean", "mean", ".4~g"),
        field_tooltip("minimum", "minimum", ".4~g"),
        field_tooltip("maximum", "maximum", ".4~g"),
        field_tooltip("n", "seeds", ".0f"),
    ]


def _statistics_by_epoch(history: pd.DataFrame) -> pd.DataFrame:
    """Return mean and range over seeds of each curve, and where the image size changes."""
    keys = [*CELL_GROUP, "epoch"]
    long = history.melt([*keys, "seed", "phase", "size"], list(CURVES), "curve", "value")
    groups = long.groupby(["curve", *keys], sort=False)
    statistics = groups.agg(
        phase=("phase", "first"),
        size=("size", "first"),
        mean=("value", "mean"),
        minimum=("value", "min"),
        maximum=("value", "max"),
        n=("seed", "nunique"),
    )
    rows = statistics.reset_index().sort_values(["curve", *keys], kind="stable")
    return round_numbers(panels.mark_size_changes(rows, ["curve", *CELL_GROUP]))


def _title(data: FigureData, history: pd.DataFrame, curve: str) -> str:
    """State the mean of each regime after the last epoch."""
    name = CURVES[curve].partition(",")[0].capitalize()
    last = data.of_finished_cells(history.sort_values("epoch").groupby(CELL, as_index=False).last())
    if not len(last):
        return f"{name} so far: no cell is finished"
    blocks = complete_blocks(last).groupby(["regime", "dataset", "model"])[curve].mean()
    means = blocks.groupby("regime").mean()
    texts = data.describe_values(means.to_dict(), _percent if curve == "accuracy" else "{:.3f}".format)
    return f"{name} after the last epoch: {texts}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
