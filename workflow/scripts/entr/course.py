"""Figures of how training went: schedule, learning-rate finder and learning curves, from what cells recorded."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from entr import charts

PANEL = {"width": 300, "height": 110}


def schedule(steps: pd.DataFrame, regimes: Sequence[str], datasets: dict[str, str]) -> alt.TopLevelMixin:
    """Draw image size, learning rates and momentum of each training step, as they were recorded.

    Parameters
    ----------
    steps : DataFrame
        Rows of ``steps.csv``, of one cell for each dataset and regime, or of several models, of which the
        first is drawn: they share the schedule.
    regimes : sequence of str
        In their order.
    datasets : dict of str to str
        Titles by name.
    """
    first = steps[steps["model"] == steps["model"].iloc[0]]
    rows = first.assign(dataset=first["dataset"].map(datasets))
    regime = charts.regime_scales(regimes)
    step = alt.X("step:Q", title="training step")
    tooltip = ["regime:N", "phase:N", "epoch:Q", "size:Q", "learning_rate:Q", "rate_early:Q", "momentum:Q"]
    one = rows["regime"] == regimes[0]
    sizes, momentum = (
        alt.Chart(some).mark_line(interpolate="step-after", opacity=0.8).encode(x=step, tooltip=tooltip)
        for some in (rows, rows[one])
    )
    rates = (
        rows[one]
        .melt(["dataset", "regime", "step"], ["rate_early", "rate_late", "learning_rate"], "layers", "rate")
        .replace({"layers": {"rate_early": "early", "rate_late": "late", "learning_rate": "head"}})
    )
    dashes = alt.StrokeDash("layers:N", sort=["head", "late", "early"], title="layers")
    lines = alt.Chart(rates).mark_line(opacity=0.8, clip=True)
    columns = [
        alt.vconcat(
            sizes.encode(y=alt.Y("size:Q", title="size in px"), color=regime["color"]).properties(**PANEL, title=title),
            lines.transform_filter(alt.datum.dataset == title)
            .encode(x=step, y=alt.Y("rate:Q", title="learning rate"), strokeDash=dashes)
            .properties(**PANEL),
            momentum.encode(y=alt.Y("momentum:Q", scale=alt.Scale(domain=[0, 1]))).properties(**PANEL),
        ).transform_filter(alt.datum.dataset == title)
        for title in datasets.values()
    ]
    return charts.titled(
        alt.hconcat(*columns),
        "The schedule that was followed",
        f"size of each regime; learning rate and momentum of {regimes[0]}; the first seed",
    )


def finder(curves: pd.DataFrame, regimes: Sequence[str], datasets: dict[str, str]) -> alt.TopLevelMixin:
    """Draw the curves of the learning-rate finder before each phase: rows of ``lr_find.csv``."""
    rows = curves.assign(row=curves["dataset"].map(datasets) + ", " + curves["model"])
    scale = alt.Scale(type="log")
    chart = (
        alt.Chart(rows)
        .mark_line(clip=True)
        .encode(
            x=alt.X("learning_rate:Q", title="learning rate", scale=scale, axis=alt.Axis(format="~g", tickCount=6)),
            y=alt.Y("loss:Q", title="loss, smoothed"),
            color=charts.regime_scales(regimes)["color"],
            tooltip=["regime:N", "phase:N", "size:Q", "learning_rate:Q", "loss:Q"],
        )
        .properties(width=190, height=140)
        .facet(
            row=alt.Row("row:N", title=None),
            column=alt.Column("phase:N", title=None, sort=list(curves["phase"].unique())),
        )
        .resolve_scale(y="independent")
    )
    return charts.titled(
        chart, "The learning-rate finder before each phase", "recorded, and by default not chosen by; the first seed"
    )


def learning(history: pd.DataFrame, regimes: Sequence[str], datasets: dict[str, str]) -> alt.TopLevelMixin:
    """Draw validation accuracy against the seconds of training steps, a point an epoch: ``history.csv``."""
    cell = ["dataset", "model", "regime", "seed"]
    rows = history.assign(
        seconds=history.groupby(cell)["training_seconds"].cumsum(), dataset=history["dataset"].map(datasets)
    )
    regime = charts.regime_scales(regimes)
    base = alt.Chart(rows).encode(
        x=alt.X("seconds:Q", title="seconds in training steps"),
        y=alt.Y(
            "accuracy:Q", title="accuracy at the phase's size", axis=alt.Axis(format=".0%"), scale=alt.Scale(zero=False)
        ),
        color=regime["color"],
        detail="seed:N",
        tooltip=[*cell, "phase:N", "epoch:Q", "size:Q", alt.Tooltip("accuracy:Q", format=".1%"), "seconds:Q"],
    )
    points = base.mark_point(filled=True, opacity=0.8).encode(
        shape=regime["shape"], size=alt.Size("size:Q", title="px", scale=alt.Scale(range=[10, 60], zero=False))
    )
    chart = (
        (base.mark_line(opacity=0.5) + points)
        .properties(width=300, height=190)
        .facet(row=alt.Row("dataset:N", title=None), column=alt.Column("model:N", title=None))
        .resolve_scale(x="independent", y="independent")
    )
    return charts.titled(chart, "Accuracy while training", "a line a cell, a point an epoch, larger at a larger size")
