"""Confusion matrices of the most accurate cells, and images of the most frequent confusions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from entr.figures import charts, palette
from entr.figures.charts import field_tooltip, with_title
from entr.figures.figure_data import FigureData
from entr.figures.image_thumbnails import thumbnail_url
from entr.metrics.labels import FINAL, PHASE

MAX_CLASSES = 30
"""Classes in a matrix; if there are more, those with most misclassified images are shown."""
CONFUSIONS = 4
"""Pairs of classes that are shown with images."""
MATRIX_SIDE = 400
"""Side of a matrix in px, within the limits of `CELL_SIDES`."""
CELL_SIDES = (16, 52)
"""Smallest and largest side of a matrix cell, in px."""
EXAMPLE_COLUMNS = 4
"""Confusions side by side."""
THUMBNAIL = 104
"""Side of an image in px."""
CAPTION_HEIGHT = 52
"""Height in px of the three lines below an image, with the gap to the next image."""
THUMBNAIL_SCALE = 2
"""Pixels of an image per px of the chart, for screens and prints of high resolution."""


def plot(data: FigureData) -> charts.Spec:
    """Plot one confusion matrix per dataset, and the most frequent confusions with images."""
    counts = data.rows("confusions")
    if not len(counts):
        return charts.empty_chart("No confusion matrices to plot yet: no cell is finished")
    folders = {data.titles[name]: Path(folder) for name, folder in data.images.items() if name in data.titles}
    parts, findings = [], []
    for dataset in data.names_in(counts, "dataset"):
        model, regime = _most_accurate(data, counts, dataset)
        own = counts[(counts["dataset"] == dataset) & (counts["model"] == model) & (counts["regime"] == regime)]
        confusions = _most_frequent(own)
        images, correct = own["images"].sum(), own.loc[own["label"] == own["predicted"], "images"].sum()
        charts_of_dataset: list[alt.LayerChart] = [_matrix(own, confusions)]
        if len(confusions) and dataset in folders:
            charts_of_dataset.append(_thumbnails(own, confusions, folders[dataset]))
        heading = f"{dataset}: {model}, {regime}; accuracy {100 * correct / images:.1f} % on {images} validation images"
        if (n_classes := own["label"].nunique()) > MAX_CLASSES:
            heading += f"; the {MAX_CLASSES} of {n_classes} classes with the most confusions are shown"
        parts.append(alt.hconcat(*charts_of_dataset, spacing=24, title=charts.panel_title(heading)))
        if len(confusions):
            first = confusions.iloc[0]
            count = f"{first['images']} of {first['total']}"
            findings.append(f"{first['label']} as {first['predicted']} ({count}) in {dataset}")
    spec = with_title(
        alt.vconcat(*parts, spacing=26),
        f"Most frequent confusion: {'; '.join(findings)}" if findings else "No image is misclassified",
        ["all seeds together, with test-time augmentation; number of images, shaded by its share of the true class"],
        "A matrix of true and predicted classes per dataset, and images of the most frequent confusions.",
    )
    return charts.with_fixed_width(spec)


def _most_accurate(data: FigureData, counts: pd.DataFrame, dataset: str) -> tuple[str, str]:
    """Return the model and regime with the highest mean accuracy among those that have confusions."""
    own = counts[counts["dataset"] == dataset]
    available = set(zip(own["model"], own["regime"], strict=True))
    means = data.rows("summary", metric="accuracy", resolution=PHASE, stage=FINAL)
    means = means[means["dataset"] == dataset].sort_values("mean", ascending=False, kind="stable")
    ranked = (key for key in zip(means["model"], means["regime"], strict=True) if key in available)
    return next(ranked, min(available))


def _most_frequent(own: pd.DataFrame) -> pd.DataFrame:
    """Return the most frequent confusions: columns ``label, predicted, images, example, total``."""
    totals = own.groupby("label")["images"].sum()
    sums = own.groupby(["label", "predicted"], sort=True).agg(images=("images", "sum"), example=("example", "first"))
    wrong = sums.reset_index().query("label != predicted").sort_values("images", ascending=False, kind="stable")
    return wrong.assign(total=wrong["label"].map(totals)).head(CONFUSIONS)


def _matrix(own: pd.DataFrame, confusions: pd.DataFrame) -> alt.LayerChart:
    rows = own.groupby(["label", "predicted"], as_index=False)["images"].sum()
    rows["fraction"] = (rows["images"] / rows.groupby("label")["images"].transform("sum")).round(4)
    classes = _shown_classes(rows, confusions)
    rows = rows[rows["label"].isin(classes) & rows["predicted"].isin(classes)]
    smallest, largest = CELL_SIDES
    side = max(smallest, min(largest, MATRIX_SIDE // len(classes)))
    scale = alt.Scale(domain=classes)
    base = alt.Chart(rows).encode(
        x=alt.X(
            "predicted:N",
            sort=classes,
            title="predicted class",
            axis=alt.Axis(labelAngle=-45, labelLimit=110),
            scale=scale,
        ),
        y=alt.Y("label:N", sort=classes, title="true class", axis=alt.Axis(labelLimit=150), scale=scale),
        tooltip=[
            field_tooltip("label", "true class"),
            field_tooltip("predicted", "predicted class"),
            field_tooltip("images", "images", ".0f"),
            field_tooltip("fraction", "fraction of the true class", ".1%"),
        ],
    )
    # opacity and not a scheme of greys, because pages replace the colour in dark mode
    shade = alt.Opacity("fraction:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0.02, 0.9]))
    legible = alt.when("datum.fraction > 0.5").then(alt.value(palette.PAPER)).otherwise(alt.value(palette.INK))
    return alt.layer(
        base.mark_rect(color=palette.COLOURS["no-increase"].mark).encode(opacity=shade),
        base.mark_text(fontSize=9 if side < 22 else 11).encode(text="images:Q", color=legible),
    ).properties(width=alt.Step(side), height=alt.Step(side))


def _shown_classes(rows: pd.DataFrame, confusions: pd.DataFrame) -> list[str]:
    """Return all classes, or those of the most frequent confusions and those with most misclassified images."""
    classes = sorted({*rows["label"], *rows["predicted"]})
    if len(classes) <= MAX_CLASSES:
        return classes
    wrong = rows[rows["label"] != rows["predicted"]].groupby("label")["images"].sum().sort_values(ascending=False)
    ranked = dict.fromkeys([*confusions["label"], *confusions["predicted"], *wrong.index, *classes])
    return sorted(list(ranked)[:MAX_CLASSES])


def _thumbnails(own: pd.DataFrame, confusions: pd.DataFrame, folder: Path) -> alt.LayerChart:
    """Return, for each confusion, a misclassified image above a correctly classified one of the predicted class."""
    rows = pd.DataFrame(list(_examples(own, confusions, folder)))
    columns = min(EXAMPLE_COLUMNS, len(confusions))
    lines = 2 * -(-len(confusions) // columns)
    base = alt.Chart(rows).encode(
        x=alt.X("column:Q", axis=None, scale=alt.Scale(domain=[-0.5, columns - 0.5], nice=False)),
        y=alt.Y("line:Q", axis=None, scale=alt.Scale(domain=[lines - 0.5, -0.5], nice=False)),
        tooltip=[field_tooltip("label", "true class"), field_tooltip("prediction"), field_tooltip("file")],
    )
    text = {"fontSize": 10, "limit": THUMBNAIL + 12, "baseline": "top", "lineBreak": "\n"}
    image_offset = -CAPTION_HEIGHT / 2
    caption_offset = image_offset + THUMBNAIL / 2 + 4
    return alt.layer(
        base.mark_image(width=THUMBNAIL, height=THUMBNAIL, yOffset=image_offset).encode(url="url:N"),
        base.mark_text(fontWeight="bold", yOffset=caption_offset, **text).encode(text="label:N"),
        base.mark_text(color=palette.MUTED, yOffset=caption_offset + 13, **text).encode(text="prediction:N"),
    ).properties(
        width=columns * (THUMBNAIL + 14),
        height=lines * (THUMBNAIL + CAPTION_HEIGHT),
        view=alt.ViewBackground(strokeOpacity=0),
    )


def _examples(own: pd.DataFrame, confusions: pd.DataFrame, folder: Path) -> Iterator[dict[str, Any]]:
    side = THUMBNAIL * THUMBNAIL_SCALE
    correct = own[own["label"] == own["predicted"]].drop_duplicates("label").set_index("label")["example"]
    for number, confusion in enumerate(confusions.itertuples(index=False)):
        line, column = divmod(number, EXAMPLE_COLUMNS)
        yield {
            "column": column,
            "line": 2 * line,
            "label": confusion.label,
            "prediction": f"as {confusion.predicted}\n{confusion.images} of {confusion.total}",
            "file": confusion.example,
            "url": thumbnail_url(folder / confusion.example, side),
        }
        if confusion.predicted in correct:
            yield {
                "column": column,
                "line": 2 * line + 1,
                "label": confusion.predicted,
                "prediction": "correct",
                "file": correct[confusion.predicted],
                "url": thumbnail_url(folder / correct[confusion.predicted], side),
            }
