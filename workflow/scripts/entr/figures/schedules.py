"""The schedule: as configured [paper, Fig. 3], and as it was recorded step by step."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import altair as alt
import pandas as pd

from entr import charts
from entr.charts import tip, titled
from entr.figures.results import Results, rounded
from entr.regimes import Plan, Step

WIDTH = 600
STRIP = 34
"""Height of a regime's line of sizes, in px."""
SAMPLES = 24
"""Points of the learning rate in each epoch."""
LAYERS = ("head", "late", "early")
KEPT = 90
"""Rows of a recorded schedule that are drawn at most, apart from those where something jumps."""
QUANTITIES = {"size": "size, px", "rate": "learning rate", "momentum": "momentum"}


def planned(results: Results) -> alt.TopLevelMixin:
    """Fig. 3: image size and learning rate by epoch, drawn from the configuration."""
    plans = {
        dataset: {regime: Plan.model_validate(plan) for regime, plan in of.items() if regime in results.regimes}
        for dataset, of in results.plans.items()
        if dataset in results.datasets
    }
    panels = [_planned(results, title, of) for title, of in _alike(results, plans).items()]
    if not panels:
        return charts.nothing("No schedule to draw: no regime is configured")
    first = next(iter(plans.values()))
    title = "Sizes in px: " + "; ".join(
        f"{regime} {_sizes(first[regime])}" for regime in results.regimes if regime in first
    )
    epochs = sorted({plan.epochs for of in plans.values() for plan in of.values()})
    count = f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
    about = f"{title}. Sizes of each regime and the learning rate, over {count} epochs."
    return titled(alt.vconcat(*panels, spacing=24), title, [f"{count} epochs, in phases as named"], about)


def _alike(results: Results, plans: Mapping[str, Mapping[str, Plan]]) -> dict[str, Mapping[str, Plan]]:
    """Return one schedule for all datasets that share it, by their titles."""
    titles: list[tuple[list[str], Mapping[str, Plan]]] = []
    for dataset, of in plans.items():
        same = next((names for names, other in titles if _drawn(other) == _drawn(of)), None)
        if same is None:
            titles.append(([results.titles[dataset]], of))
        else:
            same.append(results.titles[dataset])
    return {", ".join(names): of for names, of in titles if of}


def _drawn(of: Mapping[str, Plan]) -> dict[str, Any]:
    return {regime: (plan.steps, plan.tta_size, plan.training.learning_rate) for regime, plan in of.items()}


def _planned(results: Results, title: str, of: Mapping[str, Plan]) -> alt.VConcatChart:
    regimes = [regime for regime in results.regimes if regime in of]
    bars = pd.DataFrame([row for regime in regimes for row in _bars(regime, of[regime])])
    end = int(bars["to"].max())
    x = alt.X(
        "from:Q", title=None, scale=alt.Scale(domain=[0, end], nice=False), axis=alt.Axis(labels=False, ticks=False)
    )
    base = alt.Chart(bars).encode(
        y=alt.Y("regime:N", sort=regimes, title=None),
        tooltip=[tip("regime"), tip("phase"), tip("said", "px"), tip("from", "", ".0f"), tip("to", "", ".0f")],
    )  # fmt: skip
    largest = alt.Scale(domain=[0, float(bars["size"].max())], range=[0.05, 0.5])
    regime = charts.regime_scales(results.regimes)["color"].copy()
    regime.legend = None
    strips = base.mark_bar(stroke="white", height=STRIP - 8).encode(
        x=x, x2="to:Q", color=regime, opacity=alt.Opacity("size:Q", scale=largest, legend=None)
    )
    middle = alt.X("middle:Q", scale=alt.Scale(domain=[0, end], nice=False))
    labels = base.mark_text(fontSize=11).encode(text="said:N", x=middle)
    sizes = alt.layer(strips, labels).properties(
        width=WIDTH, height=STRIP * len(regimes), title=alt.TitleParams(title, fontSize=13, anchor="start")
    )
    # the control's: regimes with fewer epochs have the same cycles, cut
    shown = of.get(results.control, of[regimes[0]])
    return alt.vconcat(sizes, _rates(shown, end), spacing=4)


def _bars(regime: str, plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield runs of epochs of one phase and size."""
    start = 0
    for step in plan.steps:
        sizes = [step.sizes[min(epoch, len(step.sizes) - 1)] for epoch in range(step.epochs)]
        borders = [0, *(i for i in range(1, len(sizes)) if sizes[i] != sizes[i - 1]), len(sizes)]
        for begin, end in pairwise(borders):
            said = _said(step, sizes[begin])
            yield {
                "regime": regime, "phase": step.phase, "from": start + begin, "to": start + end,
                "middle": start + (begin + end) / 2, "size": sizes[begin], "said": said,
            }  # fmt: skip
        start += step.epochs


def _said(step: Step, size: int) -> str:
    said = f"any of {', '.join(map(str, step.drawn))}" if step.drawn else str(size)
    return f"{said}→{step.enlarge_to}" if step.enlarge_to else said


def _sizes(plan: Plan) -> str:
    """Return the sizes of a regime in their order, each named where it changes."""
    said = [_said(step, size) for step in plan.steps for size in step.sizes]
    return ", ".join(one for i, one in enumerate(said) if i == 0 or one != said[i - 1])


def _rates(plan: Plan, end: int) -> alt.LayerChart:
    """Draw the learning rate of each group of layers, and name the phases."""
    rates = rounded(pd.DataFrame(list(_cosines(plan))))
    starts = [0]
    for step in plan.steps:
        starts.append(starts[-1] + step.epochs)
    phases = pd.DataFrame({"phase": [step.phase for step in plan.steps], "start": starts[:-1]})
    x = {"scale": alt.Scale(domain=[0, end], nice=False), "axis": alt.Axis(tickMinStep=1, tickCount=end)}
    lines = alt.Chart(rates).mark_line(color="#333333", strokeWidth=1.5).encode(
        x=alt.X("epoch:Q", title="epoch", **x),
        y=alt.Y("rate:Q", title="learning rate", axis=alt.Axis(tickCount=4), scale=alt.Scale(
            domain=[0, 1.25 * float(rates["rate"].max())], nice=False)),
        strokeDash=alt.StrokeDash("layers:N", sort=list(LAYERS), title="layers",
                                  scale=alt.Scale(domain=list(LAYERS), range=[[1, 0], [6, 3], [2, 2]])),
        detail="piece:N",
    )  # fmt: skip
    borders = alt.Chart(phases).encode(x=alt.X("start:Q", title="epoch", **x))
    return alt.layer(
        borders.mark_rule(color="#bbbbbb"),
        lines,
        borders.mark_text(align="left", dx=4, fontSize=11, fontWeight="bold", color=charts.MUTED).encode(
            text="phase:N", y=alt.value(9)
        ),
    ).properties(width=WIDTH, height=120)


def _cosines(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield the learning rate of the layers that train along each cycle."""
    start, piece = 0, 0
    for step in plan.steps:
        rates = dict(zip(reversed(LAYERS), step.rates(plan.training.learning_rate), strict=True))
        trained = LAYERS if step.layers == "all" else LAYERS[:1]
        for length in step.lengths:
            for layers in trained:
                piece += 1
                for i in range(length * SAMPLES + 1):
                    share = i / (length * SAMPLES)
                    rate = rates[layers] * (1 + math.cos(math.pi * share)) / 2
                    yield {"layers": layers, "piece": piece, "epoch": start + share * length, "rate": rate}
            start += length


def recorded(results: Results) -> alt.TopLevelMixin:
    """Draw size, learning rates and momentum by training step, as the optimizer had them."""
    steps = results.rows("steps")
    if not len(steps):
        return charts.nothing("No schedule to draw yet: no cell is finished")
    first = steps[steps["model"] == steps.groupby("dataset")["model"].transform("first")]
    rows = pd.concat([_thinned(cell) for _, cell in first.groupby(["dataset", "regime"], sort=False)])
    datasets = results.shown(rows, "dataset")
    long = _quantities(rows)
    x = alt.X("step:Q", title="training step", axis=alt.Axis(tickCount=5))
    tooltip = [
        tip("regime"), tip("layers"), tip("phase"), tip("epoch", "epoch", ".0f"), tip("step", "step", ".0f"),
        tip("value", "value", ".3~g"),
    ]  # fmt: skip
    lines = []
    for quantity, title in QUANTITIES.items():
        zero = alt.Scale(zero=quantity != "size", nice=True)
        panel = alt.Chart(long[long["quantity"] == quantity]).mark_line(strokeWidth=1.8, opacity=0.85).encode(
            x=x, y=alt.Y("value:Q", title=title, scale=zero, axis=alt.Axis(tickCount=4)),
            color=charts.regime_scales(results.regimes)["color"],
            strokeDash=alt.StrokeDash("layers:N", sort=list(LAYERS), title="layers",
                                      scale=alt.Scale(domain=list(LAYERS), range=[[1, 0], [6, 3], [2, 2]])),
            tooltip=tooltip,
        ).properties(width=max(190, 610 // len(datasets)), height=110)  # fmt: skip
        header = alt.Header(labels=not lines)
        column = alt.Column("dataset:N", sort=datasets, title=None, header=header)
        lines.append(panel.facet(column=column, spacing=12).resolve_scale(x="independent"))
    low, high = int(steps["size"].min()), int(steps["size"].max())
    sizes = f"{low} px" if low == high else f"{low} to {high} px"
    title = (
        f"The optimizer had rates up to {steps['learning_rate'].max():.2g}, "
        f"momentum {steps['momentum'].median():.2g}, and images of {sizes}"
    )
    about = f"{title}. Lines by training step for each dataset and regime."
    return titled(
        alt.vconcat(*lines, spacing=8), title, ["first seed; lines lie on each other where regimes agree"], about
    )


def _thinned(cell: pd.DataFrame) -> pd.DataFrame:
    """Return some steps of a cell, evenly, and those beside a jump of size or rate."""
    cell = cell.sort_values("step")
    jumps = (cell["size"] != cell["size"].shift()) | (cell["learning_rate"].diff() > 0)
    beside = jumps | jumps.shift(-1, fill_value=True)
    every = max(1, len(cell) // KEPT)
    return cell[beside | (cell["step"] % every == 0)]


def _quantities(rows: pd.DataFrame) -> pd.DataFrame:
    """Return size, rates of the layers that train, and momentum below each other."""
    keys = ["dataset", "regime", "phase", "epoch", "step"]
    columns = {
        "size": ("size", "head"), "learning_rate": ("rate", "head"), "rate_late": ("rate", "late"),
        "rate_early": ("rate", "early"), "momentum": ("momentum", "head"),
    }  # fmt: skip
    parts = [
        rows[[*keys, column]].rename(columns={column: "value"}).assign(quantity=quantity, layers=layers)
        for column, (quantity, layers) in columns.items()
    ]
    return rounded(pd.concat(parts, ignore_index=True))
