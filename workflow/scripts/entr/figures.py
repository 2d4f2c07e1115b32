"""The figures, drawn from the tables alone.

One colour and one shape a regime everywhere (Okabe & Ito 2008), points for replicates under
each mean with its interval, and a title that states what was found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

from entr import charts, course
from entr.tables import CELL

STAGES = {
    "sub-total": "before re-training",
    "total": "after re-training",
    "total-tta": "with test-time augmentation",
}
BASES = {
    "training": "seconds in training steps",
    "forward": "seconds of the forward passes that the schedule asks for",
    "latency": "seconds to predict one image",
}
WEIGHTS = {"imagenet": "ImageNet weights", "none": "random first weights, all layers trained"}


@dataclass(frozen=True)
class Results:
    """The tables that figures are drawn from, and the order and names that they share."""

    cells: pd.DataFrame
    summary: pd.DataFrame
    runs: pd.DataFrame
    history: pd.DataFrame
    steps: pd.DataFrame
    lr_find: pd.DataFrame
    datasets: dict[str, str]
    """Titles of the datasets by name, in order."""
    models: tuple[str, ...]
    regimes: tuple[str, ...]
    control: str
    basis: str
    """The *T* that is shown: a key of `BASES`."""


def draw(name: str, results: Results, folder: str | Path) -> None:
    """Write a figure as interactive HTML that needs no network, as SVG and as PNG.

    Parameters
    ----------
    name : str
        A key of `FIGURES`.
    results : Results
        The tables.
    folder : path
        Gets ``<name>.html``, ``<name>.svg`` and ``<name>.png``.
    """
    charts.save(FIGURES[name](results), folder, name)


def efficiency(results: Results) -> alt.TopLevelMixin:
    """Fig. 4: standardized accuracy *As* by dataset, model and regime, at each stage."""
    ratios = _select(results.cells, results, "efficiency_ratio")
    ratios = ratios[ratios["stage"] == "total-tta"]
    means = {
        regime: float(np.exp(np.log(group["value"]).mean()))
        for regime, group in ratios.groupby("regime")
        if regime in results.regimes
    }
    found = ", ".join(f"{regime} {means[regime]:.2f}" for regime in results.regimes if regime in means)
    title = f"Efficiency relative to {results.control}: {found}" if found else f"Efficiency of {results.control}"
    return _by_regime(results, "efficiency", "As = √(A/T), in 1/√s", title, ".3f")


def accuracy(results: Results) -> alt.TopLevelMixin:
    """Fig. 5: accuracy *A* by dataset, model and regime, at each stage."""
    final = _select(results.summary, results, "accuracy")
    final = final[final["stage"] == "total-tta"].groupby("regime")["mean"].mean()
    found = ", ".join(f"{regime} {100 * final[regime]:.1f} %" for regime in results.regimes if regime in final)
    return _by_regime(results, "accuracy", "Accuracy A", f"Final accuracy: {found}", ".1%")


FIGURES: dict[str, Callable[[Results], alt.TopLevelMixin]] = {
    "fig4": efficiency,
    "fig5": accuracy,
    "schedule": lambda results: course.schedule(results.steps, results.regimes, results.datasets),
    "finder": lambda results: course.finder(results.lr_find, results.regimes, results.datasets),
    "learning": lambda results: course.learning(results.history, results.regimes, results.datasets),
}
"""What draws each figure, by its name."""


def _select(table: pd.DataFrame, results: Results, measure: str) -> pd.DataFrame:
    """Return a measure at the size of its phase, on the basis that is shown if it has one."""
    rows = table[(table["measure"] == measure) & (table["at"] == "phase")]
    return rows[rows["basis"].fillna("").isin(["", results.basis])]


def _by_regime(results: Results, measure: str, axis: str, title: str, number: str) -> alt.TopLevelMixin:
    """Draw a measure: datasets in rows, stages in columns, regimes side by side within each model."""
    keys = ["dataset", "model", "regime", "stage"]
    seeds = _select(results.cells, results, measure)[[*CELL, "stage", "size", "value"]]
    means = _select(results.summary, results, measure)[[*keys, "n", "mean", "sd", "low", "high"]]
    # one row carries the mean of its group, or every seed would draw it again
    first = ~seeds.duplicated(keys)
    rows = seeds.merge(means, on=keys)
    rows.loc[~first.to_numpy(), ["mean", "low", "high"]] = np.nan
    rows = rows.assign(dataset=rows["dataset"].map(results.datasets), stage=rows["stage"].map(STAGES))

    regime = charts.regime_scales(results.regimes)
    base = alt.Chart(rows).encode(
        x=alt.X("model:N", sort=list(results.models), title=None, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("regime:N", sort=list(results.regimes)),
        **regime,
    )
    tooltip = [
        alt.Tooltip("dataset:N"),
        alt.Tooltip("model:N"),
        alt.Tooltip("regime:N"),
        alt.Tooltip("seed:N"),
        alt.Tooltip("size:Q", title="measured at, px"),
        alt.Tooltip("value:Q", title=axis, format=number),
    ]
    of_group = [
        *tooltip[:3],
        alt.Tooltip("mean:Q", title=f"mean {axis}", format=number),
        alt.Tooltip("sd:Q", title="standard deviation", format=number),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    scale = alt.Scale(zero=False, nice=True, padding=8)
    value = alt.Y("value:Q", title=axis, scale=scale, axis=alt.Axis(format=number.replace(".1%", ".0%")))
    replicates = base.mark_point(size=28, opacity=0.45, filled=True).encode(y=value, tooltip=tooltip)
    intervals = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=axis), y2="high:Q")
    centres = base.mark_point(size=130, strokeWidth=2.2, filled=False).encode(
        y=alt.Y("mean:Q", title=axis), tooltip=of_group
    )
    width = max(190, 26 * len(results.models) * len(results.regimes))
    layers = [replicates, intervals, centres] if rows["low"].notna().any() else [replicates, centres]
    panel = alt.layer(*layers).properties(width=width, height=190)
    return panel.facet(
        row=alt.Row("dataset:N", sort=list(results.datasets.values()), title=None),
        column=alt.Column("stage:N", sort=list(STAGES.values()), title=None),
        spacing=14,
    ).properties(
        title=alt.TitleParams(title, subtitle=_subtitle(results, measure, means), anchor="start", offset=14),
        description=f"{title}. {axis} of {', '.join(results.regimes)} for {', '.join(results.models)}.",
        config=charts.STYLE,
    )


def _subtitle(results: Results, measure: str, means: pd.DataFrame) -> list[str]:
    """Say what is shown, of how many seeds, and what a reader has to know of the runs."""
    fewest, most = means["n"].min(), means["n"].max()
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    replicates = "one replicate" if most == 1 else f"small points: {count} seeds, large: mean"
    interval = ", line: 95 % interval" if means["low"].notna().any() else ""
    weights = " and ".join(WEIGHTS.get(kind, f"weights of {kind}") for kind in sorted(results.runs["weights"].unique()))
    devices = ", ".join(sorted(results.runs["device"].unique()))
    about = f"T: {BASES[results.basis]}" if measure == "efficiency" else f"by chance: {_chance(results)}"
    return [f"{about}; {replicates}{interval}", f"{weights}; {devices}"]


def _chance(results: Results) -> str:
    """Say how often a guess among equally likely classes is right."""
    classes = results.runs.groupby("dataset")["classes"].first()
    return ", ".join(
        f"{title} {100 / classes[name]:.1f} %" for name, title in results.datasets.items() if name in classes
    )
