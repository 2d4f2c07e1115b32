"""Fig. 3: image size and learning rate by epoch, as configured [paper, Fig. 3]."""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, groupby, pairwise
from typing import Any

import altair as alt
import pandas as pd

from entr.config.training_plan import PhasePlan, Plan
from entr.figures import charts, palette
from entr.figures.charts import field_tooltip, with_title
from entr.figures.figure_data import FigureData, round_numbers
from entr.figures.label_room import FITS, with_room

STRIP_HEIGHT = 34
"""Height in px of the sizes of one regime."""
LETTER_WIDTH = 0.55
"""Mean width of a character, relative to the size of the font."""
LABEL_PADDING = 4
"""Width in px of a bar that its label leaves free."""
MAX_LISTED = 5
"""Sizes of a regime that a text lists; of more, it states the first and the last."""
NAME_SIZE = 11
"""Size in px of the names of phases."""
POINTS_PER_EPOCH = 24
"""Points of a learning-rate curve."""
LOGARITHMIC_FROM = 100
"""Ratio of the largest learning rate to the smallest from which on their axis is logarithmic."""


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
    first = next(iter(plans.values()))
    epochs = sorted({plan.epochs for by_regime in plans.values() for plan in by_regime.values()})
    duration = f"{epochs[0]} epochs" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
    sizes = f"Image sizes in px: {'; '.join(f'{regime} {describe_sizes(plan)}' for regime, plan in first.items())}"
    about = f"Image sizes of each regime and the learning rate over {duration}."
    others = dict.fromkeys(regime for by_regime in plans.values() for regime in _with_own_rates(data, by_regime))
    notes = [duration]
    if others:
        notes.append(f"learning rate: that of {data.design.control}; own ones: {', '.join(others)}")
    chart = alt.vconcat(*schedules, spacing=24)
    title = sizes
    if data.has_many_regimes:
        title, about = _range_of_sizes(first.values()), f"{about} {sizes}."
    return with_room(with_title(chart, title, notes, about))


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
    end = max(plan.epochs for plan in by_regime.values())
    bars = pd.DataFrame([bar for regime, plan in by_regime.items() for bar in size_bars(regime, plan, end)])
    epochs = alt.Scale(domain=[0, end], nice=False)
    base = alt.Chart(bars).encode(
        y=alt.Y("regime:N", sort=regimes, title=None, axis=charts.regime_axis(data.design.regimes)),
        tooltip=[
            field_tooltip("regime"),
            field_tooltip("phase"),
            field_tooltip("sizes", "image size, px"),
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
    labels = base.transform_filter(FITS).mark_text(fontSize=charts.LABEL_SIZE)
    labels = labels.encode(text="label:N", x=alt.X("middle:Q", scale=epochs))
    sizes = alt.layer(strips, labels).properties(
        width=charts.CHART_WIDTH, height=STRIP_HEIGHT * len(regimes), title=charts.panel_title(title)
    )
    # the control's learning rate, because regimes with fewer epochs have the same cycles, only fewer
    shown = data.design.control if data.design.control in by_regime else regimes[0]
    others = _with_own_rates(data, by_regime)
    rates = [_learning_rates(by_regime[regime], end, regime if others else "") for regime in (shown, *others)]
    return alt.vconcat(sizes, *rates, spacing=4)


def size_bars(regime: str, plan: Plan, end: int) -> Iterator[dict[str, Any]]:
    """Yield one bar per run of epochs of the same phase and size; bars begin and end at numbers of epochs.

    Parameters
    ----------
    regime : str
        Name of the regime.
    plan : Plan
        Its plan.
    end : int
        Epochs for which the chart has room.
    """
    start = 0
    for phase in plan.phases:
        for (first, last), run in groupby(_sizes_by_epoch(phase)):
            stop = start + len(list(run))
            descriptions = _descriptions(phase, first, last)
            available = charts.CHART_WIDTH * (stop - start) / end - LABEL_PADDING
            label = next((text for text in descriptions if _width(text, charts.LABEL_SIZE) <= available), "")
            yield {
                "regime": regime,
                "phase": phase.phase,
                "from": start,
                "to": stop,
                "middle": (start + stop) / 2,
                "size": last,
                "sizes": descriptions[0],
                "label": label,
                "needed": _width(label, charts.LABEL_SIZE),
                "available": available,
            }
            start = stop


def _sizes_by_epoch(phase: PhasePlan) -> list[tuple[int, int]]:
    """Return the sizes in px at the beginning and at the end of each epoch, before upsampling."""
    if not phase.ramp:
        return [(size, size) for size in phase.sizes]
    begin, end = phase.span
    moments = (begin + (end - begin) * epoch / phase.epochs for epoch in range(phase.epochs + 1))
    return list(pairwise(map(phase.ramp.size_at, moments)))


def _descriptions(phase: PhasePlan, first: int, last: int) -> list[str]:
    """Return texts for a size in px, for a ramp from one size to another, or for random sizes, the longest first."""
    if phase.drawn:
        sizes = ", ".join(map(str, dict.fromkeys(phase.drawn)))
        texts = [f"random of {sizes}", sizes, f"{min(phase.drawn)}–{max(phase.drawn)}"]
    else:
        texts = [str(last)] if first == last else [f"{first}–{last}", str(last)]
    return [f"{text}→{phase.upsample_to}" for text in texts] if phase.upsample_to else texts


def _width(text: str, font_size: float) -> float:
    """Return the approximate width of a text in px."""
    return LETTER_WIDTH * font_size * len(text)


def describe_sizes(plan: Plan) -> str:
    """Return the sizes of a regime in their order, repeated ones once; of many or of a ramp, the first and the last."""
    epochs = [(phase, *sizes) for phase in plan.phases for sizes in _sizes_by_epoch(phase)]
    texts = [text for text, _ in groupby(_descriptions(*epoch)[0] for epoch in epochs)]
    if len(texts) > MAX_LISTED or any(phase.ramp for phase in plan.phases):
        return f"{epochs[0][1]}–{epochs[-1][2]}"
    return ", ".join(texts)


def _range_of_sizes(plans: Iterable[Plan]) -> str:
    """Return how many regimes there are, and between which sizes, as text."""
    plans = list(plans)
    sizes = [size for plan in plans for phase in plan.phases for size in phase.input_sizes()]
    return f"Image sizes of {len(plans)} regimes, from {min(sizes)} to {max(sizes)} px"


def _with_own_rates(data: FigureData, by_regime: Mapping[str, Plan]) -> list[str]:
    """Return the regimes whose learning rates are not only more or fewer cycles of those of the control."""
    rates = {regime: {_rates(phase) for phase in plan.phases} for regime, plan in by_regime.items()}
    of_control = rates.get(data.design.control)
    return [regime for regime in rates if of_control and not rates[regime] <= of_control]


def _rates(phase: PhasePlan) -> tuple[Any, ...]:
    return phase.phase, phase.learning_rates(), phase.lr_factors, phase.anneal, phase.layers


def _learning_rates(plan: Plan, end: int, regime: str) -> alt.LayerChart:
    """Return the learning rate of each layer group, with the names of the phases; a regime is named above it."""
    rates = round_numbers(pd.DataFrame(list(_cycles(plan))))
    low, high = float(rates["rate"].min()), float(rates["rate"].max())
    is_logarithmic = low > 0 and high / low >= LOGARITHMIC_FROM
    names = pd.DataFrame(list(_phase_names(plan, end)))
    epochs = {"scale": alt.Scale(domain=[0, end], nice=False), "axis": alt.Axis(tickMinStep=1, tickCount=end)}
    # the names of the phases stand above the curves
    room = 0.25 * (1 + names["line"].max())
    if is_logarithmic:
        scale = alt.Scale(type="log", domain=[low / 1.5, high * (high / low) ** room], nice=False)
    else:
        scale = alt.Scale(domain=[0, (1 + room) * high], nice=False)
    lines = (
        alt.Chart(rates)
        .mark_line(color=palette.INK, strokeWidth=1.5)
        .encode(
            x=alt.X("epoch:Q", title="epoch", **epochs),
            y=alt.Y(
                "rate:Q",
                title="learning rate",
                axis=alt.Axis(tickCount=4, **({"format": ".0e"} if is_logarithmic else {})),
                scale=scale,
            ),
            strokeDash=charts.layer_dashes(),
            detail="cycle:N",
        )
    )
    borders = alt.Chart(names).encode(x=alt.X("start:Q", title="epoch", **epochs))
    layers: list[alt.Chart] = [borders.mark_rule(color=palette.GUIDE), lines]
    text = {"fontSize": NAME_SIZE, "fontWeight": "bold", "color": palette.MUTED}
    for (align, line), own in names.groupby(["align", "line"]):
        base = alt.Chart(own).transform_filter(FITS)
        base = base.mark_text(align=align, dx=4 if align == "left" else -4, **text)
        x = alt.X("start:Q" if align == "left" else "stop:Q", title="epoch", **epochs)
        layers.append(base.encode(x=x, text="phase:N", y=alt.value(9 + 13 * line)))
    title = {}
    if regime:
        heading = f"Learning rate of {regime}"
        title = {"title": alt.TitleParams(heading, fontSize=charts.PANEL_TITLE_SIZE, anchor="start", frame="group")}
    return alt.layer(*layers).properties(width=charts.CHART_WIDTH, height=120, **title)


def _phase_names(plan: Plan, end: int) -> Iterator[dict[str, Any]]:
    """Yield the name of each phase with its borders; names that do not fit between them alternate in two lines."""
    place = charts.CHART_WIDTH / end
    needed = [_width(phase.phase, NAME_SIZE + 1) + LABEL_PADDING for phase in plan.phases]
    lines = 1 + any(width > place * phase.epochs for width, phase in zip(needed, plan.phases, strict=True))
    starts = [0, *accumulate(phase.epochs for phase in plan.phases)]
    for number, phase in enumerate(plan.phases):
        # until the next name in the same line
        stop = starts[min(number + lines, len(plan.phases))]
        is_cut_off = needed[number] > place * (end - starts[number])
        yield {
            "phase": phase.phase,
            "start": starts[number],
            "stop": starts[number + 1],
            "line": number % lines,
            "align": "right" if is_cut_off else "left",
            "needed": needed[number],
            "available": place * (stop - starts[number]) if not is_cut_off else needed[number],
        }


def _cycles(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield points of the learning rates along each cycle, for the layer groups that are trained."""
    start, cycle = 0, 0
    for phase in plan.phases:
        rates = dict(zip(reversed(charts.LAYER_GROUPS), phase.learning_rates(), strict=True))
        trained = charts.LAYER_GROUPS if phase.layers == "all" else ("head",)
        for length in phase.lengths:
            for layers in trained:
                cycle += 1
                for point in range(length * POINTS_PER_EPOCH + 1):
                    progress = point / (length * POINTS_PER_EPOCH)
                    rate = rates[layers] * _factor(phase, progress)
                    yield {"layers": layers, "cycle": cycle, "epoch": start + progress * length, "rate": rate}
            start += length


def _factor(phase: PhasePlan, progress: float) -> float:
    """Return the factor of the learning rate at a fraction of a cycle."""
    start, end = phase.lr_factors
    remaining = (1 + math.cos(math.pi * progress)) / 2 if phase.anneal == "cosine" else 1 - progress
    return end + (start - end) * remaining
