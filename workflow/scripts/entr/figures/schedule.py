"""Fig. 3: image size and learning rate by epoch, as configured [paper, Fig. 3]."""

import math
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import altair as alt
import pandas as pd

from entr.config.training_plan import PhasePlan, Plan
from entr.figures import charts, palette
from entr.figures.charts import field_tooltip, with_title
from entr.figures.figure_data import FigureData, round_numbers

STRIP_HEIGHT = 34
"""Height in px of the sizes of one regime."""
POINTS_PER_EPOCH = 24
"""Points of a learning-rate curve."""


def plot(data: FigureData) -> charts.Spec:
    """Plot the image size of each regime and the learning rate by epoch."""
    plans = {
        dataset: {
            regime: Plan.model_validate(data.plans[dataset][regime])
            for regime in data.design.regimes
            if regime in data.plans[dataset]
        }
        for dataset in data.titles
        if dataset in data.plans
    }
    schedules = [_schedule(data, title, by_regime) for title, by_regime in _distinct(data, plans).items()]
    if not schedules:
        return charts.empty_chart("No schedule to plot: no regime is configured")
    sizes = [f"{regime} {_describe_sizes(plan)}" for regime, plan in next(iter(plans.values())).items()]
    epochs = sorted({plan.epochs for by_regime in plans.values() for plan in by_regime.values()})
    duration = f"{epochs[0]} epochs" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
    return with_title(
        alt.vconcat(*schedules, spacing=24),
        f"Image sizes in px: {'; '.join(sizes)}",
        [duration],
        f"Image sizes of each regime and the learning rate over {duration}.",
    )


def _distinct(data: FigureData, plans: Mapping[str, Mapping[str, Plan]]) -> dict[str, Mapping[str, Plan]]:
    """Return each distinct schedule once, by the titles of the datasets that share it."""
    groups: list[tuple[list[str], Mapping[str, Plan]]] = []
    for dataset, by_regime in plans.items():
        same = next((titles for titles, other in groups if _drawn(other) == _drawn(by_regime)), None)
        if same is None:
            groups.append(([data.titles[dataset]], by_regime))
        else:
            same.append(data.titles[dataset])
    return {", ".join(titles): by_regime for titles, by_regime in groups if by_regime}


def _drawn(by_regime: Mapping[str, Plan]) -> dict[str, Any]:
    """Return what the figure shows of plans."""
    return {regime: (plan.phases, plan.tta_size, plan.training.learning_rate) for regime, plan in by_regime.items()}


def _schedule(data: FigureData, title: str, by_regime: Mapping[str, Plan]) -> alt.VConcatChart:
    regimes = list(by_regime)
    bars = pd.DataFrame([bar for regime, plan in by_regime.items() for bar in _bars(regime, plan)])
    end = int(bars["to"].max())
    epochs = alt.Scale(domain=[0, end], nice=False)
    base = alt.Chart(bars).encode(
        y=alt.Y("regime:N", sort=regimes, title=None, axis=charts.regime_axis(data.design.regimes)),
        tooltip=[
            field_tooltip("regime"),
            field_tooltip("phase"),
            field_tooltip("label", "image size, px"),
            field_tooltip("from", "from epoch", ".0f"),
            field_tooltip("to", "to epoch", ".0f"),
        ],
    )
    colour = charts.regime_scales(data.design.regimes, legend=False)["color"]
    darkness = alt.Scale(domain=[0, float(bars["size"].max())], range=[0.06, 0.32])
    strips = base.mark_bar(stroke=palette.PAPER, height=STRIP_HEIGHT - 8).encode(
        x=alt.X("from:Q", title=None, scale=epochs, axis=alt.Axis(labels=False, ticks=False)),
        x2="to:Q",
        color=colour,
        opacity=alt.Opacity("size:Q", scale=darkness, legend=None),
    )
    labels = base.mark_text(fontSize=charts.LABEL_SIZE).encode(text="label:N", x=alt.X("middle:Q", scale=epochs))
    sizes = alt.layer(strips, labels).properties(
        width=charts.CHART_WIDTH, height=STRIP_HEIGHT * len(regimes), title=charts.panel_title(title)
    )
    # the control's learning rate, because regimes with fewer epochs have the same cycles, only fewer
    shown = by_regime.get(data.design.control, by_regime[regimes[0]])
    return alt.vconcat(sizes, _learning_rates(shown, end), spacing=4)


def _bars(regime: str, plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield one bar per run of epochs of the same phase and size; bars begin and end at numbers of epochs."""
    start = 0
    for phase in plan.phases:
        sizes = [phase.sizes[min(epoch, len(phase.sizes) - 1)] for epoch in range(phase.epochs)]
        for size, run in groupby(sizes):
            end = start + len(list(run))
            yield {
                "regime": regime,
                "phase": phase.phase,
                "from": start,
                "to": end,
                "middle": (start + end) / 2,
                "size": size,
                "label": _describe_size(phase, size),
            }
            start = end


def _describe_size(phase: PhasePlan, size: int) -> str:
    text = f"random of {', '.join(map(str, phase.drawn))}" if phase.drawn else str(size)
    return f"{text}→{phase.upsample_to}" if phase.upsample_to else text


def _describe_sizes(plan: Plan) -> str:
    """Return the sizes of a regime in their order, repeated ones once."""
    sizes = (_describe_size(phase, size) for phase in plan.phases for size in phase.sizes)
    return ", ".join(size for size, _ in groupby(sizes))


def _learning_rates(plan: Plan, end: int) -> alt.LayerChart:
    """Return the learning rate of each layer group, with the names of the phases."""
    rates = round_numbers(pd.DataFrame(list(_cosines(plan))))
    starts = [0]
    for phase in plan.phases:
        starts.append(starts[-1] + phase.epochs)
    phases = pd.DataFrame({"phase": [phase.phase for phase in plan.phases], "start": starts[:-1]})
    epochs = {"scale": alt.Scale(domain=[0, end], nice=False), "axis": alt.Axis(tickMinStep=1, tickCount=end)}
    # the names of the phases stand above the curves
    rate_scale = alt.Scale(domain=[0, 1.25 * float(rates["rate"].max())], nice=False)
    lines = (
        alt.Chart(rates)
        .mark_line(color=palette.INK, strokeWidth=1.5)
        .encode(
            x=alt.X("epoch:Q", title="epoch", **epochs),
            y=alt.Y("rate:Q", title="learning rate", axis=alt.Axis(tickCount=4), scale=rate_scale),
            strokeDash=charts.layer_dashes(),
            detail="cycle:N",
        )
    )
    borders = alt.Chart(phases).encode(x=alt.X("start:Q", title="epoch", **epochs))
    names = borders.mark_text(align="left", dx=4, fontSize=11, fontWeight="bold", color=palette.MUTED)
    return alt.layer(
        borders.mark_rule(color=palette.GUIDE), lines, names.encode(text="phase:N", y=alt.value(9))
    ).properties(width=charts.CHART_WIDTH, height=120)


def _cosines(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield points of the learning rates along each cycle, for the layer groups that are trained."""
    start, cycle = 0, 0
    for phase in plan.phases:
        rates = dict(zip(reversed(charts.LAYER_GROUPS), phase.learning_rates(plan.training.learning_rate), strict=True))
        trained = charts.LAYER_GROUPS if phase.layers == "all" else ("head",)
        for length in phase.lengths:
            for layers in trained:
                cycle += 1
                for point in range(length * POINTS_PER_EPOCH + 1):
                    progress = point / (length * POINTS_PER_EPOCH)
                    rate = rates[layers] * (1 + math.cos(math.pi * progress)) / 2
                    yield {"layers": layers, "cycle": cycle, "epoch": start + progress * length, "rate": rate}
            start += length
