"""Panels of points: regimes side by side within each model, replicates under each mean and its interval."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from entr import charts
from entr.charts import tip
from entr.figures.results import Results, rounded, with_intervals

KEYS = ["dataset", "model", "regime"]
GAP = 13
"""Least px between two regimes."""


def joined(cells: pd.DataFrame, summary: pd.DataFrame, keys: Sequence[str], number: str) -> pd.DataFrame:
    """Set the values of seeds and their means below each other, told apart by ``kind``."""
    seeds = cells[[*KEYS, "seed", *keys, "size", "value"]].assign(kind="seed")
    means = summary[[*KEYS, *keys, "size", "n", "mean", "low", "high"]].rename(columns={"mean": "value"})
    means = with_intervals(means, "value", number).assign(kind="mean")
    return rounded(pd.concat([seeds, means], ignore_index=True))


def layers(results: Results, axis: str, number: str) -> list[alt.Chart]:
    """Return the layers of a panel without their data, which is that of `joined`."""
    scale = alt.Scale(zero=False, nice=True, padding=8)
    labels = alt.Axis(tickCount=5, **({"format": ".0%"} if "%" in number else {}))
    regime = charts.regime_scales(results.regimes)
    base = alt.Chart().encode(
        x=alt.X("model:N", sort=list(results.models), title=None, axis=alt.Axis(labelAngle=0, labelLimit=140)),
        xOffset=alt.XOffset("regime:N", sort=list(results.regimes), scale=alt.Scale(domain=list(results.regimes))),
        color=regime["color"],
    )
    value = alt.Y("value:Q", title=axis, scale=scale, axis=labels)
    cell = [tip("dataset"), tip("model"), tip("regime")]
    of_seed = [*cell, tip("seed"), tip("size", "measured at, px", ".0f"), tip("value", axis, number)]
    of_group = [
        *cell, tip("value", f"mean {axis}", number), tip("interval", "95 % interval"), tip("n", "seeds", ".0f"),
    ]  # fmt: skip
    means = base.transform_filter("datum.kind === 'mean'")
    return [
        base.transform_filter("datum.kind === 'seed'")
        .mark_point(size=24, opacity=0.4, filled=True)
        .encode(y=value, shape=regime["shape"], tooltip=of_seed),
        means.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=axis), y2="high:Q"),
        means.mark_point(size=105, strokeWidth=2, filled=False).encode(
            y=value, shape=regime["shape"], tooltip=of_group
        ),
    ]


def width(results: Results, rows: pd.DataFrame, least: int) -> int:
    """Return the width of a panel in px in which regimes do not touch."""
    return max(least, GAP * (len(results.shown(rows, "regime")) + 1) * len(results.shown(rows, "model")))
