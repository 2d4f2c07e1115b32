"""Regimes against each other: effects with intervals, other test sizes, and what the networks learned."""

import altair as alt
import numpy as np
import pandas as pd

from entr import charts
from entr.charts import chosen, switch, tip, titled, words
from entr.figures import panels
from entr.figures.paths import by_dataset_and_model
from entr.figures.results import STAGES, Results, replicates, rounded, whole_blocks, with_intervals

EFFECTS = {
    "log_efficiency_ratio": "ratio of As",
    "log_time_ratio": "ratio of T",
    "accuracy_difference": "difference of A, points",
}
MEANS = "mean of all"
MEASURES = {
    "training_negative_log_likelihood": "training loss, nats",
    "loss_gap": "loss gap, nats",
    "accuracy_gap": "accuracy gap",
    "weight_distance_early": "distance, early layers",
    "weight_distance_late": "distance, late layers",
    "weight_distance_head": "distance, head",
}
OFFSET = 14
"""Between two regimes of a line, in px."""


def forest(results: Results) -> alt.TopLevelMixin:
    """Draw each effect on efficiency, time and accuracy with its intervals, by dataset and model and pooled."""
    rows = _effects(results)
    if not len(rows):
        return charts.nothing("No regime to compare yet: there are no pairs with the control")
    bases = results.bases(rows)
    stages = {stage: said for stage, said in reversed(STAGES.items()) if stage in set(rows["stage"])}
    switches = [switch("basis", "T", bases), switch("stage", "stage", stages)]
    lines = list(dict.fromkeys(rows["line"]))
    columns = [
        _forest_panel(results, rows[rows["measure"] == measure], title, lines, first=not position)
        for position, (measure, title) in enumerate(EFFECTS.items())
    ]
    titles = {(basis, stage): _risen(results, rows, basis, stage) for basis in bases for stage in stages}
    subtitle = [
        words(switches[:1], {basis: f"T: {said}" for basis, said in bases.items()}),
        words(switches[1:], {stage: f"{said}; {_counted(rows)}" for stage, said in stages.items()}),
        results.conditions(),
    ]
    about = f"{next(iter(titles.values()))}. A line for each dataset and network, and their means, with intervals."
    return titled(alt.hconcat(*columns, spacing=12), words(switches, titles), subtitle, about, switches)


def _effects(results: Results) -> pd.DataFrame:
    """Return effects as ratios and points, with the line that each stands on."""
    table = results.tables.get("effects", pd.DataFrame())
    if not len(table):
        return table
    known = ["all", *results.titles]
    rows = table[
        (table["at"] == "phase") & table["regime"].isin(results.treatments) & table["measure"].isin(list(EFFECTS))
        & table["dataset"].isin(known) & table["model"].isin(["all", *results.models])
    ]  # fmt: skip
    if len(results.datasets) == 1:
        rows = rows[rows["scope"] != "all"]
    place = {"block": list(results.models), "dataset": ["all"], "all": ["all"]}
    order = [*(results.titles), "all"]
    line = [_line(results, *key) for key in zip(rows["scope"], rows["dataset"], rows["model"], strict=True)]
    rank = [
        (order.index(dataset), place[scope].index(model) + (scope == "dataset") * len(results.models))
        for scope, dataset, model in zip(rows["scope"], rows["dataset"], rows["model"], strict=True)
    ]
    rows = rows.assign(line=line, rank=rank).sort_values("rank", kind="stable").drop(columns="rank")
    values = ["mean", "low", "high", "low_overlap", "high_overlap"]
    logarithmic = rows["measure"] != "accuracy_difference"
    for value in values:
        rows[value] = np.where(logarithmic, np.exp(rows[value].where(logarithmic)), 100 * rows[value])
    keys = ["line", "scope", "regime", "stage", "basis", "measure", "replicates", "note"]
    rows["p"] = ["none" if np.isnan(p) else f"{p:.2g}" for p in rows["p_holm"]]
    for suffix in ("", "_overlap"):
        rows = with_intervals(rows, "mean", ".4g", suffix)
    return rounded(rows[[*keys, *values, "p", "interval", "interval_overlap"]])


def _line(results: Results, scope: str, dataset: str, model: str) -> str:
    if scope == "all":
        return MEANS
    return f"{results.titles[dataset]}, {'mean' if scope == 'dataset' else model}"


def _forest_panel(results: Results, rows: pd.DataFrame, title: str, lines: list[str], *, first: bool) -> alt.LayerChart:
    none = 0 if "points" in title else 1
    number = "+.2f" if "points" in title else ".3f"
    regime = charts.regime_scales(results.regimes)
    treatments = list(results.treatments)
    regime["color"].legend = regime["shape"].legend = alt.Legend(values=treatments)
    axis = alt.Axis(labelLimit=220, grid=True, tickSize=0) if first else alt.Axis(labels=False, ticks=False, grid=True)
    kind = {"zero": False} if "points" in title else {"type": "log"}
    scale = alt.Scale(nice=False, padding=10, **kind)
    x = alt.X("mean:Q", title=title, scale=scale, axis=alt.Axis(tickCount=4))
    base = (
        alt.Chart(rows)
        .transform_filter(chosen("basis", "stage"))
        .encode(
            y=alt.Y("line:N", sort=lines, title=None, axis=axis, scale=alt.Scale(paddingInner=0.35)),
            yOffset=alt.YOffset("regime:N", sort=treatments, scale=alt.Scale(domain=treatments)),
            color=regime["color"],
        )
    )
    tooltip = [
        tip("line"), tip("regime"), tip("mean", title, number), tip("interval", "95 % interval"),
        tip("interval_overlap", "for further images"), tip("replicates", "replicates", ".0f"), tip("p", "p (Holm)"),
        tip("note"),
    ]  # fmt: skip
    reference = alt.Chart(alt.InlineData([{"none": none}])).mark_rule(color="#555555", strokeDash=[4, 3])
    return alt.layer(
        reference.encode(x=alt.X("none:Q", title=title)),
        base.mark_rule(strokeWidth=1.2).encode(x=alt.X("low_overlap:Q", title=title, scale=scale), x2="high_overlap:Q"),
        base.mark_rule(strokeWidth=3.5).encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x, shape=regime["shape"], tooltip=tooltip),
    ).properties(width=175, height=len(lines) * (OFFSET * len(treatments) + 6))


def _risen(results: Results, rows: pd.DataFrame, basis: str, stage: str) -> str:
    own = rows[
        (rows["measure"] == "log_efficiency_ratio") & (rows["scope"] == "block")
        & (rows["basis"] == basis) & (rows["stage"] == stage)
    ]  # fmt: skip
    found = []
    for regime in results.treatments:
        of = own[own["regime"] == regime]
        if len(of):
            known = of[of["interval"] != "none"]
            beyond = int((known["low_overlap"] > 1).sum())
            interval = f" ({beyond} beyond the interval)" if len(known) else ""
            found.append(f"{regime} in {(of['mean'] > 1).sum()} of {len(of)}{interval}")
    return f"As is above {results.control}'s: {', '.join(found)}" if found else f"Against {results.control}"


def _counted(rows: pd.DataFrame) -> str:
    blocks = rows[rows["scope"] == "block"]
    said = replicates(blocks, "replicates")
    return f"{said}: no interval" if (blocks["interval"] == "none").all() else f"{said} a line"


def test_sizes(results: Results) -> alt.TopLevelMixin:
    """Draw the accuracy of the finished networks at other sizes."""
    cells = results.rows("cells", measure="accuracy", at="test")
    if not len(cells):
        return charts.nothing("No test sizes to draw yet: no cell is finished")
    rows = panels.joined(cells, results.rows("summary", measure="accuracy", at="test"), ["stage"], ".1%")
    regime = charts.regime_scales(results.regimes)
    base = alt.Chart().encode(
        x=alt.X("size:Q", title="test size, px", scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(tickCount=6)),
        color=regime["color"],
    )
    y = alt.Y("value:Q", title="accuracy A", scale=alt.Scale(zero=False), axis=alt.Axis(format=".0%", tickCount=5))
    cell = [tip("dataset"), tip("model"), tip("regime"), tip("size", "test size, px", ".0f")]
    of_mean = [
        *cell,
        tip("value", "mean accuracy", ".1%"),
        tip("interval", "95 % interval"),
        tip("n", "seeds", ".0f"),
    ]
    means = base.transform_filter("datum.kind === 'mean'")
    panel = alt.layer(
        base.transform_filter("datum.kind === 'seed'")
        .mark_point(filled=True, size=12, opacity=0.3)
        .encode(y=y, tooltip=[*cell, tip("seed"), tip("value", "accuracy", ".1%")]),
        means.mark_line(strokeWidth=1.8).encode(y=y),
        means.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q"),
        means.mark_point(filled=True, size=60, opacity=1).encode(y=y, shape=regime["shape"], tooltip=of_mean),
    )
    levels = whole_blocks(cells).groupby(["regime", "size"])["value"].mean()
    best = {one: int(levels[one].idxmax()) for one in results.regimes if one in levels}
    title = "Most accurate at: " + ", ".join(f"{one} {size} px" for one, size in best.items())
    about = f"{title}. Accuracy against test size for each regime, dataset and network."
    count = replicates(rows[rows["kind"] == "mean"])
    subtitle = [f"after re-training, without test-time augmentation; {count}", results.conditions()]
    return titled(by_dataset_and_model(results, rows, panel), title, subtitle, about)


def mechanism(results: Results) -> alt.TopLevelMixin:
    """Draw training loss, generalisation gap and how far the weights have come."""
    cells = results.rows("cells", measure=list(MEASURES), at="full")
    if not len(cells):
        return charts.nothing("No mechanism to draw yet: no cell is finished")
    rows = panels.joined(cells, results.rows("summary", measure=list(MEASURES), at="full"), ["stage", "measure"], ".3f")
    stages = {stage: said for stage, said in reversed(STAGES.items()) if stage in set(rows["stage"])}
    stage = switch("stage", "stage", stages)
    across = panels.width(results, rows, 195)
    lines = []
    for dataset in results.shown(rows, "dataset"):
        own = rows[rows["dataset"] == dataset]
        columns = [
            alt.layer(*panels.layers(results, title, ".1%" if measure == "accuracy_gap" else ".3f"))
            .properties(data=own[own["measure"] == measure], width=across, height=110)
            .transform_filter(chosen("stage"))
            for measure, title in MEASURES.items()
            if measure in set(own["measure"])
        ]
        columns[0] = columns[0].properties(title=alt.TitleParams(dataset, fontSize=13, anchor="start"))
        lines.append(alt.concat(*columns, columns=3, spacing=10))
    titles = {one: _gaps(results, cells[cells["stage"] == one], said) for one, said in stages.items()}
    about = (
        f"{next(iter(titles.values()))}. Training loss, gaps and weight distances of each regime, dataset and network."
    )
    subtitle = [
        "gap: validation less training loss, training less validation accuracy",
        "distance: relative to the first weights",
        f"{replicates(rows[rows['kind'] == 'mean'])}; {results.conditions()}",
    ]
    return titled(alt.vconcat(*lines, spacing=20), words([stage], titles), subtitle, about, [stage])


def _gaps(results: Results, cells: pd.DataFrame, stage: str) -> str:
    gaps = whole_blocks(cells[cells["measure"] == "loss_gap"]).groupby(["regime", "dataset", "model"])["value"].mean()
    means = gaps.groupby("regime").mean()
    said = ", ".join(f"{one} {means[one]:.2f}" for one in results.regimes if one in means)
    return f"Loss gap {stage}, nats: {said}"
