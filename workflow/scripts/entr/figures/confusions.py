"""What validation images were taken for by the most accurate cell of each dataset, with real images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from entr import charts
from entr.charts import tip, titled
from entr.figures.results import FINAL, Results
from entr.pictures import tile

CLASSES = 30
"""Of a matrix at most; of more, those that are confused most."""
PAIRS = 6
TILE = 88
"""Side of an image in px."""


def matrices(results: Results) -> alt.TopLevelMixin:
    """Draw a matrix for each dataset, and the pairs of classes that are confused most."""
    counts = results.rows("confusions")
    if not len(counts):
        return charts.nothing("No confusions to draw yet: no cell is finished")
    folders = {results.titles[name]: Path(folder) for name, folder in results.images.items() if name in results.titles}
    parts, said = [], []
    for dataset in results.shown(counts, "dataset"):
        model, regime = _best(results, counts, dataset)
        own = counts[(counts["dataset"] == dataset) & (counts["model"] == model) & (counts["regime"] == regime)]
        pairs = _pairs(own)
        right = own.loc[own["label"] == own["predicted"], "images"].sum() / own["images"].sum()
        heading = f"{dataset}: {model}, {regime}; {100 * right:.1f} % of {own['images'].sum()} validation images right"
        drawn = [
            _matrix(own, pairs),
            *([_tiles(own, pairs, folders[dataset])] if len(pairs) and dataset in folders else []),
        ]
        parts.append(alt.vconcat(*drawn, spacing=10, title=alt.TitleParams(heading, fontSize=13, anchor="start")))
        if len(pairs):
            first = pairs.iloc[0]
            said.append(f"{dataset} {first['label']} for {first['predicted']} ({first['images']} of {first['of']})")
    title = f"Most confused: {'; '.join(said)}" if said else "Nothing is confused"
    about = f"{title}. A matrix of true and predicted classes for each dataset, and images of the pairs most confused."
    return titled(alt.vconcat(*parts, spacing=26), title, ["with test-time augmentation; all seeds together"], about)


def _best(results: Results, counts: pd.DataFrame, dataset: str) -> tuple[str, str]:
    """Return model and regime of the highest mean accuracy among those that have confusions."""
    means = results.rows("summary", measure="accuracy", at="phase", stage=FINAL)
    means = means[means["dataset"] == dataset].sort_values("mean", ascending=False, kind="stable")
    there = set(zip(*(counts.loc[counts["dataset"] == dataset, one] for one in ("model", "regime")), strict=True))
    ranked = [cell for cell in zip(means["model"], means["regime"], strict=True) if cell in there]
    return ranked[0] if ranked else min(there)


def _pairs(own: pd.DataFrame) -> pd.DataFrame:
    """Return the classes most often confused: columns ``label, predicted, images, of, example``."""
    of = own.groupby("label")["images"].sum()
    sums = own.groupby(["label", "predicted"], sort=True).agg(images=("images", "sum"), example=("example", "first"))
    wrong = sums.reset_index().query("label != predicted").sort_values("images", ascending=False, kind="stable")
    return wrong.assign(of=wrong["label"].map(of)).head(PAIRS)


def _matrix(own: pd.DataFrame, pairs: pd.DataFrame) -> alt.LayerChart:
    rows = own.groupby(["label", "predicted"], as_index=False)["images"].sum()
    rows["share"] = (rows["images"] / rows.groupby("label")["images"].transform("sum")).round(4)
    classes = sorted({*rows["label"], *rows["predicted"]})
    if len(classes) > CLASSES:
        wrong = rows[rows["label"] != rows["predicted"]].groupby("label")["images"].sum().sort_values(ascending=False)
        classes = sorted(
            dict.fromkeys([*pairs["label"], *pairs["predicted"], *wrong.index]).keys()
            & {*wrong.index[: CLASSES - 6], *pairs["label"], *pairs["predicted"]}
        )
        rows = rows[rows["label"].isin(classes) & rows["predicted"].isin(classes)]
    step = max(15, min(34, 400 // len(classes)))
    base = alt.Chart(rows).encode(
        x=alt.X("predicted:N", sort=classes, title="taken for", axis=alt.Axis(labelAngle=-45, labelLimit=110),
                scale=alt.Scale(domain=classes)),
        y=alt.Y("label:N", sort=classes, title="class", axis=alt.Axis(labelLimit=150), scale=alt.Scale(domain=classes)),
    )  # fmt: skip
    colour = alt.Color("share:Q", title="share of the class", legend=alt.Legend(format=".0%", gradientLength=160),
                       scale=alt.Scale(scheme="greys", domain=[0, 1]))  # fmt: skip
    tooltip = [
        tip("label", "class"),
        tip("predicted", "taken for"),
        tip("images", "images", ".0f"),
        tip("share", "share of the class", ".1%"),
    ]
    dark = alt.when("datum.share > 0.5").then(alt.value("white")).otherwise(alt.value("black"))
    return alt.layer(
        base.mark_rect(stroke="#eeeeee").encode(color=colour, tooltip=tooltip),
        base.mark_text(fontSize=9 if step < 22 else 11).encode(text="images:Q", color=dark, tooltip=tooltip),
    ).properties(width=alt.Step(step), height=alt.Step(step))


def _tiles(own: pd.DataFrame, pairs: pd.DataFrame, folder: Path) -> alt.LayerChart:
    """Draw for each pair an image that was taken for another class, above one of that class."""
    rows = pd.DataFrame(list(_pictures(own, pairs, folder)))
    width, height = len(pairs) * (TILE + 14), 2 * (TILE + 34)
    x = alt.X("column:Q", axis=None, scale=alt.Scale(domain=[-0.5, len(pairs) - 0.5], nice=False))
    y = alt.Y("line:Q", axis=None, scale=alt.Scale(domain=[1.5, -0.5], nice=False))
    base = alt.Chart(rows).encode(x=x, y=y, tooltip=[tip("first", "class"), tip("second", "network"), tip("file")])
    texts = base.mark_text(fontSize=10, limit=TILE + 10, baseline="top")
    return alt.layer(
        base.mark_image(width=TILE, height=TILE, yOffset=-14).encode(url="url:N"),
        texts.mark_text(fontSize=10, fontWeight="bold", limit=TILE + 12, yOffset=TILE / 2 - 5).encode(text="first:N"),
        texts.mark_text(fontSize=10, limit=TILE + 12, yOffset=TILE / 2 + 8, color=charts.MUTED).encode(text="second:N"),
    ).properties(width=width, height=height, view=alt.ViewBackground(strokeOpacity=0))


def _pictures(own: pd.DataFrame, pairs: pd.DataFrame, folder: Path) -> Iterator[dict[str, Any]]:
    right = own[own["label"] == own["predicted"]].drop_duplicates("label").set_index("label")["example"]
    for column, pair in enumerate(pairs.itertuples(index=False)):
        taken = f"for {pair.predicted}, {pair.images} of {pair.of}"
        yield {
            "column": column, "line": 0, "first": pair.label, "second": taken, "file": pair.example,
            "url": tile(folder / pair.example, 2 * TILE),
        }  # fmt: skip
        if pair.predicted in right:
            yield {
                "column": column, "line": 1, "first": pair.predicted, "second": "rightly",
                "file": right[pair.predicted], "url": tile(folder / right[pair.predicted], 2 * TILE),
            }  # fmt: skip
