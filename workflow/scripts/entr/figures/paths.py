"""Fig. 1 and the Pareto front: accuracy against the time that it took."""

import altair as alt
import numpy as np
import pandas as pd

from entr import charts
from entr.charts import chosen, switch, tip, titled, words
from entr.figures.results import CELL, STAGES, Results, replicates, rounded

CLOSE = 0.01
"""An accuracy that is lower by no more counts as reached: the margin of the verdict."""
POINT = alt.Axis(format=".0%", tickCount=5)


def hypothesis(results: Results) -> alt.TopLevelMixin:
    """Fig. 1: accuracy along the time of training, for each regime [paper, Fig. 1]."""
    history = results.finished(results.rows("history"))
    if not len(history):
        return charts.nothing("No path to draw yet: no cell is finished")
    rows = rounded(along_time(history))
    base = alt.Chart().encode(
        x=alt.X("seconds:Q", title="seconds in training steps", axis=alt.Axis(tickCount=4)),
        y=alt.Y("accuracy:Q", title="accuracy A", scale=alt.Scale(zero=False, nice=True), axis=POINT),
        color=charts.regime_scales(results.regimes)["color"],
    )
    tooltip = [
        tip("dataset"), tip("model"), tip("regime"), tip("phase"), tip("epoch", "epoch", ".0f"),
        tip("size", "size, px", ".0f"), tip("seconds", "seconds", ".1f"), tip("accuracy", "mean accuracy A", ".1%"),
        tip("n", "seeds", ".0f"),
    ]  # fmt: skip
    changes = base.transform_filter("datum.changes")
    panel = alt.layer(
        base.mark_line(strokeWidth=2),
        base.mark_point(size=18, filled=True, opacity=1).encode(tooltip=tooltip),
        changes.mark_point(size=90, filled=True, opacity=1).encode(
            shape=charts.regime_scales(results.regimes)["shape"], tooltip=tooltip
        ),
        changes.mark_text(dy=12, dx=4, fontSize=10, align="left").encode(text="label:N"),
    )
    chart = by_dataset_and_model(results, rows, panel)
    title = _reached(results, rows)
    about = f"{title}. Lines of validation accuracy against seconds of training, for each regime, dataset and network."
    return titled(chart, title, [f"mean of {replicates(rows)} after each epoch", results.conditions()], about)


def by_dataset_and_model(results: Results, rows: pd.DataFrame, panel: alt.LayerChart) -> alt.TopLevelMixin:
    """Return a panel for each dataset and model, each with axes of its own."""
    models, datasets = results.shown(rows, "model"), results.shown(rows, "dataset")
    panel = panel.properties(data=rows, width=max(170, 600 // len(models)), height=170)
    return panel.facet(
        row=alt.Row("dataset:N", sort=datasets, title=None),
        column=alt.Column("model:N", sort=models, title=None),
        spacing=14,
    ).resolve_scale(x="independent", y="independent")


def along_time(history: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds after each epoch, and where the size changes.

    Returns
    -------
    DataFrame
        Columns ``dataset, model, regime, epoch, phase, size, seconds, accuracy, n, changes, label``.
    """
    table = history.sort_values([*CELL, "epoch"], kind="stable")
    table = table.assign(seconds=table.groupby(CELL)["training_seconds"].cumsum())
    keys = ["dataset", "model", "regime", "epoch"]
    rows = table.groupby(keys, sort=False).agg(
        phase=("phase", "first"), size=("size", "first"), seconds=("seconds", "mean"),
        accuracy=("accuracy", "mean"), n=("seed", "nunique"),
    ).reset_index()  # fmt: skip
    before = rows.groupby(keys[:3])["size"].shift()
    return labelled(rows, before)


def labelled(rows: pd.DataFrame, before: pd.Series) -> pd.DataFrame:
    """Mark the epochs at which the size is not that of the epoch before, and name it after the first."""
    changes = rows["size"] != before
    return rows.assign(changes=changes, label=rows["size"].astype(str).where(changes & (rows["epoch"] > 1), ""))


def _reached(results: Results, rows: pd.DataFrame) -> str:
    """Say when each treatment came as far as the control."""
    found = [_reached_by(regime, results, rows) for regime in results.treatments]
    said = ", ".join(one for one in found if one)
    last = f"Within a point of {results.control}'s last accuracy: {said}"
    return last if said else "Accuracy along the time of training"


def _reached_by(regime: str, results: Results, rows: pd.DataFrame) -> str:
    shares, pairs = [], 0
    for _, block in rows.groupby(["dataset", "model"]):
        own, control = block[block["regime"] == regime], block[block["regime"] == results.control]
        if len(own) and len(control):
            pairs += 1
            there = own[own["accuracy"] >= control["accuracy"].iloc[-1] - CLOSE]
            shares += [there["seconds"].iloc[0] / control["seconds"].iloc[-1]] if len(there) else []
    if not pairs:
        return ""
    if not shares:
        return f"{regime} never"
    where = "" if len(shares) == pairs else f" in {len(shares)} of {pairs} networks"
    time = np.median(shares)
    return f"{regime} after {100 * time:.0f} % of its time{where}"


def front(results: Results) -> alt.TopLevelMixin:
    """Draw accuracy against *T* with the Pareto front, for each dataset."""
    rows = _outcomes(results)
    if not len(rows):
        return charts.nothing("No accuracy and time to draw yet: no cell is finished")
    bases = results.bases(rows)
    stages = {stage: said for stage, said in reversed(STAGES.items()) if stage in set(rows["stage"])}
    switches = [switch("basis", "T", bases), switch("stage", "stage", stages)]
    titles = {
        (basis, stage): _on_front(results, rows[(rows["basis"] == basis) & (rows["stage"] == stage)])
        for basis in bases for stage in stages
    }  # fmt: skip
    panels = [_front_panel(results, rows[rows["dataset"] == one], one) for one in results.shown(rows, "dataset")]
    subtitle = [
        words(switches[:1], {basis: f"T: {said}" for basis, said in bases.items()}),
        words(
            switches[1:],
            {stage: f"{said}; {replicates(rows[rows['kind'] == 'mean'])}" for stage, said in stages.items()},
        ),
        results.conditions(),
    ]
    first = next(iter(titles.values()))
    about = f"{first}. Mean accuracy against mean time of each network and regime, a panel for each dataset."
    return titled(alt.concat(*panels, columns=2), words(switches, titles), subtitle, about, switches)


def _outcomes(results: Results) -> pd.DataFrame:
    """Return accuracy and time of seeds and of their means, and which means are on the front."""
    keys = ["dataset", "model", "regime", "stage"]
    parts = []
    for table, more, value in (("cells", ["seed"], ["value"]), ("summary", ["n"], ["mean", "low", "high"])):
        of = {name: results.rows(table, measure=name, at="phase") for name in ("accuracy", "time")}
        if not len(of["time"]) or not len(of["accuracy"]):
            return pd.DataFrame()
        named = {name: rows.rename(columns={one: f"{name}_{one}" for one in value}) for name, rows in of.items()}
        time = named["time"][[*keys, *more, "basis", *(f"time_{one}" for one in value)]]
        accuracy = named["accuracy"][[*keys, *more, *(f"accuracy_{one}" for one in value)]]
        parts.append(time.merge(accuracy, on=[*keys, *more]))
    seeds = parts[0].rename(columns={"time_value": "time", "accuracy_value": "accuracy"}).assign(kind="seed")
    means = parts[1].rename(columns={"time_mean": "time", "accuracy_mean": "accuracy"}).assign(kind="mean")
    best = pd.Series(False, index=means.index)
    for _, group in means.groupby(["dataset", "stage", "basis"]):
        best[group.index] = _undominated(group["time"], group["accuracy"])
    # a network is named once, beside the slowest of its regimes
    slowest = means.groupby(["dataset", "stage", "basis", "model"])["time"].transform("max") == means["time"]
    means = means.assign(front=best, label=means["model"].where(slowest, ""))
    # an interval that is missing is drawn as a point: of marks without any Vega complains
    for end in ("low", "high"):
        for name in ("time", "accuracy"):
            means[f"{name}_{end}"] = means[f"{name}_{end}"].fillna(means[name])
    return rounded(pd.concat([seeds, means], ignore_index=True))


def _undominated(time: pd.Series, accuracy: pd.Series) -> list[bool]:
    """Tell which points no other equals in both and exceeds in one."""
    points = list(zip(time, accuracy, strict=True))

    def beaten(t: float, a: float) -> bool:
        return any(u <= t and b >= a and (u, b) != (t, a) for u, b in points)

    return [not beaten(t, a) for t, a in points]


def _on_front(results: Results, rows: pd.DataFrame) -> str:
    best = rows[rows["front"] == True]  # noqa: E712  NaN of seeds
    counts = best["regime"].value_counts()
    said = ", ".join(f"{regime} {counts[regime]}" for regime in results.regimes if regime in counts)
    points = f"{len(best)} points" if len(best) != 1 else "1 point"
    return f"The front of accuracy and time has {points}: {said}" if said else "Accuracy against time"


def _front_panel(results: Results, rows: pd.DataFrame, title: str) -> alt.LayerChart:
    base = alt.Chart(rows).transform_filter(chosen("basis", "stage")).encode(
        x=alt.X("time:Q", title="T, s", scale=alt.Scale(zero=False, nice=True, padding=14), axis=alt.Axis(tickCount=5)),
        y=alt.Y("accuracy:Q", title="accuracy A", scale=alt.Scale(zero=False, nice=True, padding=12), axis=POINT),
    )  # fmt: skip
    regime = charts.regime_scales(results.regimes)
    means = base.transform_filter("datum.kind === 'mean'")
    cell = [tip("dataset"), tip("model"), tip("regime")]
    values = [tip("time", "T, s", ".4~g"), tip("accuracy", "accuracy A", ".1%")]
    across = means.mark_rule(strokeWidth=1.5)
    return alt.layer(
        means.transform_filter("datum.front")
        .mark_line(interpolate="step-after", color="#b0b0b0", strokeWidth=3)
        .encode(order="time:Q"),
        base.transform_filter("datum.kind === 'seed'")
        .mark_point(filled=True, size=18, opacity=0.35)
        .encode(tooltip=[*cell, tip("seed"), *values], **regime),
        across.encode(x="time_low:Q", x2="time_high:Q", color=regime["color"]),
        across.encode(y="accuracy_low:Q", y2="accuracy_high:Q", color=regime["color"]),
        means.mark_point(size=105, strokeWidth=2, fill="white").encode(
            tooltip=[*cell, *values, tip("n", "seeds", ".0f")], **regime
        ),
        means.mark_text(dx=9, fontSize=10, align="left", color=charts.MUTED).encode(text="label:N"),
    ).properties(width=290, height=220, title=alt.TitleParams(title, fontSize=13, anchor="start"))
