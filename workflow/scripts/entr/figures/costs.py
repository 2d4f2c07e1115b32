"""Where the time went, and how fast training was by image size."""

import altair as alt
import pandas as pd

from entr import charts
from entr.charts import chosen, switch, tip, titled, words
from entr.figures.results import Results, rounded

PARTS = {
    "training steps (T)": ("training",),
    "resizing (T)": ("resize",),
    "validation": ("validation",),
    "rate finder": ("rate_finder",),
    "measuring": ("evaluation",),
    "starting, loading, saving": ("starting", "loading", "checkpoint", "other"),
}
"""Parts of `measures.Seconds`, as they are drawn."""
SHADES = ("#2d3142", "#5c6f91", "#9fb1bc", "#c9b79c", "#d9d9d9", "#f0efeb")
"""From dark to light, so that they differ without colour; none is a regime's."""
TRAINED = {"all": "all layers train", "head": "the head trains"}


def parts(results: Results) -> alt.TopLevelMixin:
    """Draw the mean wall time of a cell by what it was spent on."""
    runs = results.rows("runs")
    if not len(runs):
        return charts.nothing("No time to draw yet: no cell is finished")
    cell = ["dataset", "model", "regime"]
    of = {
        name: runs[[f"seconds_{one}" for one in ones if f"seconds_{one}" in runs]].sum(axis=1)
        for name, ones in PARTS.items()
    }
    means = pd.concat([runs[cell], pd.DataFrame(of)], axis=1).groupby(cell, sort=False).mean().reset_index()
    rows = means.melt(cell, list(PARTS), "part", "seconds")
    rows = rounded(rows.assign(
        share=rows["seconds"] / rows.groupby(cell)["seconds"].transform("sum"),
        order=rows["part"].map({part: place for place, part in enumerate(PARTS)}),
    ))  # fmt: skip
    models, datasets = results.shown(rows, "model"), results.shown(rows, "dataset")
    chart = (
        alt.Chart(rows)
        .mark_bar(stroke="#444444", strokeWidth=0.5)
        .encode(
            x=alt.X("seconds:Q", title="seconds a cell, mean over seeds", axis=alt.Axis(tickCount=4)),
            y=alt.Y("regime:N", sort=list(results.regimes), title=None),
            color=alt.Color(
                "part:N", title=None, sort=list(PARTS), legend=alt.Legend(columns=3),
                scale=alt.Scale(domain=list(PARTS), range=list(SHADES)),
            ),
            order="order:Q",
            tooltip=[*map(tip, cell), tip("part"), tip("seconds", "seconds", ".1f"), tip("share", "share", ".1%")],
        )
        .properties(width=max(170, 560 // len(models)), height=alt.Step(20))
        .facet(
            row=alt.Row("dataset:N", sort=datasets, title=None),
            column=alt.Column("model:N", sort=models, title=None),
            spacing=12,
        )
        .resolve_scale(x="independent")
    )  # fmt: skip
    dark = rows[rows["part"].str.endswith("(T)")]["seconds"].sum() / rows["seconds"].sum()
    title = f"{100 * dark:.0f} % of the time of a cell is T; the rest never counts"
    about = f"{title}. Bars of seconds by part for each regime, dataset and network."
    return titled(chart, title, [results.conditions()], about)


def speed(results: Results) -> alt.TopLevelMixin:
    """Draw images a second against image size, beside what pixels alone would say."""
    history = results.rows("history")
    if not len(history):
        return charts.nothing("No speed to draw yet: no cell is finished")
    keys = ["dataset", "model", "layers", "size"]
    rows = (
        history.groupby(keys, sort=False)["images_per_second"]
        .agg(value="mean", low="min", high="max", epochs="size")
        .reset_index()
    )
    largest = rows.loc[rows.groupby(keys[:3])["size"].transform("max") == rows["size"], [*keys, "value"]]
    rows = rows.merge(largest, on=keys[:3], suffixes=("", "_largest"))
    rows = rounded(rows.assign(pixels=rows["value_largest"] * (rows["size_largest"] / rows["size"]) ** 2))
    # first what has several sizes to compare
    kinds = rows.groupby("layers")["size"].nunique().sort_values(ascending=False, kind="stable").index
    trained = switch("layers", "shown", {one: TRAINED[one] for one in kinds})
    models, datasets = results.shown(rows, "model"), results.shown(rows, "dataset")
    base = alt.Chart().transform_filter(chosen("layers")).encode(
        x=alt.X("size:Q", title="image size, px", scale=alt.Scale(zero=False, padding=10), axis=alt.Axis(tickCount=5))
    )  # fmt: skip
    y = alt.Y("value:Q", title="images a second", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4, format="~s"))
    tooltip = [
        tip("dataset"), tip("model"), tip("size", "size, px", ".0f"), tip("value", "images a second", ".1f"),
        tip("low", "slowest epoch", ".1f"), tip("high", "fastest epoch", ".1f"),
        tip("pixels", "by pixels alone", ".1f"), tip("epochs", "epochs", ".0f"),
    ]  # fmt: skip
    panel = alt.layer(
        base.mark_line(strokeDash=[5, 4], color="#8a8a8a").encode(y=alt.Y("pixels:Q")),
        base.mark_rule(color="#2d3142").encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(color="#2d3142").encode(y=y),
        base.mark_point(color="#2d3142", filled=True, size=60, opacity=1).encode(y=y, tooltip=tooltip),
    ).properties(data=rows, width=max(170, 600 // len(models)), height=140)
    chart = panel.facet(
        row=alt.Row("dataset:N", sort=datasets, title=None),
        column=alt.Column("model:N", sort=models, title=None),
        spacing=12,
    ).resolve_scale(y="independent")
    titles = {one: _cheaper(rows[rows["layers"] == one]) for one in kinds}
    subtitle = [
        words([trained], TRAINED),
        "points: mean, lines: range of epochs; dashed: pixels alone",
        results.conditions(),
    ]
    about = f"{next(iter(titles.values()))}. Images a second against image size for each dataset and network."
    return titled(chart, words([trained], titles), subtitle, about, [trained])


def _cheaper(rows: pd.DataFrame) -> str:
    """Say what a small image costs of a large one."""
    ends = rows.groupby(["dataset", "model"])["size"].agg(["min", "max"])
    small, large = (int(ends[end].median()) for end in ("min", "max")) if len(ends) else (0, 0)
    if small == large:
        return "Training speed at one image size"
    pairs = rows.pivot_table(index=["dataset", "model"], columns="size", values="value")[[small, large]].dropna()
    cost = (pairs[large] / pairs[small]).median()
    return f"An image of {small} px costs {cost:.2f} of one of {large} px; by pixels {(small / large) ** 2:.2f}"
