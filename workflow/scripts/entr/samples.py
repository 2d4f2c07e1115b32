"""Fig. 2: one image of each class, as the networks see it but for its size [paper, Fig. 2]."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from entr import charts
from entr.guards import atomic_write
from entr.pictures import tile

TILE = 104
"""Side of a tile in px, its label apart."""
LABEL = 18
"""Height of a label in px."""
RESOLUTION = 2
"""Pixels of the image for each of the tile, for screens and print that show more."""


def draw(
    titles: Mapping[str, str],
    manifests: Sequence[str | Path],
    folders: Sequence[str | Path],
    shown: Mapping[str, Any],
    *,
    table: str | Path,
    library: str | Path,
    folder: str | Path,
) -> None:
    """Draw sample images of each class, by dataset.

    Parameters
    ----------
    titles : mapping
        Titles of the datasets, by name, in the order of the files.
    manifests, folders : sequence of path
        The manifest and the folder of small images of each dataset.
    shown : mapping
        See `pages.figure`.
    table : path
        CSV file of what is shown: ``dataset, label, image, source``.
    library, folder : path
        As in `charts.save`.
    """
    images_of = [chosen(pd.read_csv(path, dtype={"label": str}, keep_default_na=False)) for path in manifests]
    with atomic_write(table) as file:
        rows = [one.assign(dataset=name) for name, one in zip(titles, images_of, strict=True)]
        pd.concat(rows)[["dataset", "label", "image", "source"]].to_csv(file, index=False)
    panels = [
        _panel(title, rows, Path(images))
        for title, rows, images in zip(titles.values(), images_of, folders, strict=True)
    ]
    classes = ", ".join(f"{title} {len(rows)}" for title, rows in zip(titles.values(), images_of, strict=True))
    title = "One image of each class"
    about = f"{title} of {', '.join(titles.values())}."
    chart = charts.titled(alt.vconcat(*panels, spacing=24), title, [f"classes: {classes}"], about)
    charts.save(chart, "fig2", shown, library=library, folder=folder)


def chosen(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return one row of the manifest for each class: by checksum, so neither by name nor by look."""
    return manifest.sort_values("sha256").drop_duplicates("label").sort_values("label", ignore_index=True)


def _panel(title: str, rows: pd.DataFrame, images: Path) -> alt.LayerChart:
    columns = min(len(rows), max(7, math.ceil(math.sqrt(1.6 * len(rows)))))
    lines = math.ceil(len(rows) / columns)
    place = pd.DataFrame({"column": rows.index % columns, "line": rows.index // columns})
    tiles = place.assign(
        label=rows["label"],
        source=rows["source"],
        url=[tile(images / name, TILE * RESOLUTION) for name in rows["image"]],
    )
    x = alt.X("column:Q", axis=None, scale=alt.Scale(domain=[-0.5, columns - 0.5], nice=False))
    y = alt.Y("line:Q", axis=None, scale=alt.Scale(domain=[lines - 0.5, -0.5], nice=False))
    base = alt.Chart(tiles).encode(x=x, y=y, tooltip=["label:N", "source:N"])
    pictures = base.mark_image(width=TILE - 6, height=TILE - 6, yOffset=-LABEL / 2).encode(url="url:N")
    labels = base.mark_text(yOffset=TILE / 2 - LABEL / 2 + 8, fontSize=10, limit=TILE - 4).encode(text="label:N")
    return alt.layer(pictures, labels).properties(
        width=columns * TILE,
        height=lines * (TILE + LABEL),
        title=alt.TitleParams(title, anchor="start", fontSize=13),
        view=alt.ViewBackground(strokeOpacity=0),
    )
