"""How training went: learning curves, and the curves of the learning-rate finder."""

import altair as alt
import pandas as pd

from entr import charts
from entr.charts import chosen, switch, tip, titled, words
from entr.figures.paths import by_dataset_and_model, labelled
from entr.figures.results import CELL, Results, replicates, rounded, whole_blocks

CURVES = {
    "accuracy": "validation accuracy",
    "validation_loss": "validation loss, nats",
    "training_loss": "training loss, nats",
}
POINTS = 45
"""Of a finder's curve at most: more cannot be told apart."""
CUT = 4
"""Losses above so many times the lowest are cut off, as the finder itself stops there."""


def learning(results: Results) -> alt.TopLevelMixin:
    """Draw accuracy and losses by epoch, with the steps of size."""
    history = results.rows("history")
    if not len(history):
        return charts.nothing("No learning curve to draw yet: no phase of any cell is finished")
    rows = _by_epoch(history)
    curve = switch("curve", "shown", CURVES)
    base = alt.Chart().transform_filter(chosen("curve")).encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, tickCount=6)),
        color=charts.regime_scales(results.regimes)["color"],
    )  # fmt: skip
    y = alt.Y("mean:Q", title="share, or nats", scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=5))
    tooltip = [
        tip("dataset"), tip("model"), tip("regime"), tip("phase"), tip("epoch", "epoch", ".0f"),
        tip("size", "size, px", ".0f"), tip("mean", "mean", ".4~g"), tip("least", "least", ".4~g"),
        tip("most", "most", ".4~g"), tip("n", "seeds", ".0f"),
    ]  # fmt: skip
    changes = base.transform_filter("datum.changes")
    panel = alt.layer(
        base.mark_area(opacity=0.15).encode(y=alt.Y("least:Q"), y2="most:Q"),
        base.mark_line(strokeWidth=2).encode(y=y),
        base.mark_point(filled=True, size=16, opacity=1).encode(y=y, tooltip=tooltip),
        changes.mark_point(filled=True, size=80, opacity=1).encode(
            y=y, shape=charts.regime_scales(results.regimes)["shape"], tooltip=tooltip
        ),
        changes.mark_text(dy=12, dx=4, fontSize=10, align="left").encode(y=y, text="label:N"),
    )
    title = {name: _last(results, history, name) for name in CURVES}
    subtitle = [
        words([curve], CURVES),
        f"mean and range of {replicates(rows)}; numbers: size in px",
        results.conditions(),
    ]
    about = f"{title['accuracy']}. Curves by epoch for each regime, dataset and network."
    return titled(by_dataset_and_model(results, rows, panel), words([curve], title), subtitle, about, [curve])


def _by_epoch(history: pd.DataFrame) -> pd.DataFrame:
    """Return mean and range over seeds of each curve, and where the size changes."""
    keys = ["dataset", "model", "regime", "epoch"]
    long = history.melt([*keys, "seed", "phase", "size"], list(CURVES), "curve", "value")
    rows = long.groupby(["curve", *keys], sort=False).agg(
        phase=("phase", "first"), size=("size", "first"), mean=("value", "mean"), least=("value", "min"),
        most=("value", "max"), n=("seed", "nunique"),
    ).reset_index().sort_values(["curve", *keys], kind="stable")  # fmt: skip
    return rounded(labelled(rows, rows.groupby(["curve", *keys[:3]])["size"].shift()))


def _last(results: Results, history: pd.DataFrame, curve: str) -> str:
    """Say where each regime ended."""
    last = results.finished(history.sort_values("epoch").groupby(CELL, as_index=False).last())
    if not len(last):
        return f"{CURVES[curve].partition(',')[0].capitalize()} so far; no cell is finished"
    last = whole_blocks(last)
    means = last.groupby(["regime", "dataset", "model"])[curve].mean().groupby("regime").mean()
    said = ", ".join(
        f"{one} {100 * means[one]:.1f} %" if curve == "accuracy" else f"{one} {means[one]:.3f}"
        for one in results.regimes if one in means
    )  # fmt: skip
    return f"{CURVES[curve].partition(',')[0].capitalize()} after the last epoch: {said}"


def finder(results: Results) -> alt.TopLevelMixin:
    """Draw the curves of the learning-rate finder before each phase."""
    curves = results.rows("lr_find")
    if not len(curves):
        return charts.nothing("No curve of the finder to draw yet: no cell is finished")
    cell = ["dataset", "model", "regime", "phase"]
    lowest = curves.loc[curves.groupby(cell)["loss"].idxmin()]
    models, datasets = results.shown(curves, "model"), results.shown(curves, "dataset")
    phases = list(dict.fromkeys(curves["phase"]))
    model = switch("model", "network", {one: one for one in models})
    rows = curves[curves["loss"] <= CUT * curves.groupby(cell)["loss"].transform("min")]
    every = max(1, int(curves.groupby(cell).size().max()) // POINTS)
    rows = rounded(rows[rows.groupby(cell).cumcount() % every == 0])
    regime = charts.regime_scales(results.regimes)["color"]
    tooltip = [
        tip("dataset"), tip("model"), tip("regime"), tip("phase"), tip("size", "size, px", ".0f"),
        tip("learning_rate", "learning rate", ".2~g"), tip("loss", "loss, nats", ".3f"),
    ]  # fmt: skip
    chart = (
        alt.Chart(rows[[*cell, "size", "learning_rate", "loss"]])
        .transform_filter(chosen("model"))
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=10, opacity=0.6))
        .encode(
            x=alt.X(
                "learning_rate:Q", title="learning rate", scale=alt.Scale(type="log"),
                axis=alt.Axis(format="~g", tickCount=4),
            ),
            y=alt.Y("loss:Q", title="loss, nats", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4)),
            color=regime,
            tooltip=tooltip,
        )
        .properties(width=max(130, 620 // len(phases)), height=130)
        .facet(
            row=alt.Row("dataset:N", sort=datasets, title=None),
            column=alt.Column("phase:N", sort=phases, title=None),
            spacing=12,
        )
        .resolve_scale(y="independent")
    )  # fmt: skip
    median = lowest.groupby("phase")["learning_rate"].median()
    said = ", ".join(f"{phase} {median[phase]:.2g}" for phase in phases)
    title = f"The finder's loss is lowest at rates of {said}"
    subtitle = [words([model], {one: one for one in models}), "medians over datasets, networks and regimes; first seed"]
    about = f"{title}. Loss against learning rate, a panel for each dataset and phase, a line for each regime."
    return titled(chart, title, subtitle, about, [model])
