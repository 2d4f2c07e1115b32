"""Fig. 2: one image per class [paper, Fig. 2]."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from entr.figures import charts
from entr.figures.charts import field_tooltip
from entr.figures.image_thumbnails import thumbnail_url
from entr.jobs.tables import read_columns, write_table

TILES_WIDTH = 980
"""Width in px of a full line of tiles."""
TILE_GAP = 6
"""Gap between two images, in px."""
LABEL_HEIGHT = 18
MIN_COLUMNS = 7
"""Tiles side by side, if there are that many."""
ASPECT_RATIO = 4.5
"""Number of columns per line of tiles, if there are many."""
THUMBNAIL_SCALE = 2
"""Pixels of an image per px of the chart, for screens and prints of high resolution."""


def plot_sample_images(
    titles: Mapping[str, str],
    manifests: Mapping[str, str | Path],
    images: Mapping[str, str | Path],
    figure: Mapping[str, Any],
    *,
    table: str | Path,
    library: str | Path,
    folder: str | Path,
) -> None:
    """Plot one image per class of each dataset.

    Parameters
    ----------
    titles : mapping
        Titles of the datasets by name, in their order.
    manifests, images : mapping
        The manifest and the directory of downscaled images of each dataset.
    figure : mapping
        Entry of the catalogue as plain values.
    table : path
        CSV file for the images shown: ``dataset, label, image, source``.
    library, folder : path
        As in `charts.save_figure`.
    """
    used = dict.fromkeys(("image", "label", "source", "sha256"), str)
    samples = {name: select_samples(read_columns(manifests[name], **used)) for name in titles}
    rows = [sample.assign(dataset=name) for name, sample in samples.items()]
    write_table(pd.concat(rows)[["dataset", "label", "image", "source"]], table)
    panels = [_panel(titles[name], sample, Path(images[name])) for name, sample in samples.items()]
    classes = ", ".join(f"{titles[name]} {len(sample)}" for name, sample in samples.items())
    spec = charts.with_title(
        alt.vconcat(*panels, spacing=24),
        "One image per class",
        [f"classes: {classes}"],
        f"Images of {', '.join(titles.values())}, each above the name of its class.",
    )
    charts.save_figure(charts.with_fixed_width(spec), figure["name"], figure, library=library, folder=folder)


def select_samples(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return one row of the manifest per class, selected by checksum: arbitrary but reproducible."""
    return manifest.sort_values("sha256").drop_duplicates("label").sort_values("label", ignore_index=True)


def _panel(title: str, sample: pd.DataFrame, images: Path) -> alt.LayerChart:
    columns = min(len(sample), max(MIN_COLUMNS, math.ceil(math.sqrt(ASPECT_RATIO * len(sample)))))
    lines = math.ceil(len(sample) / columns)
    tile = TILES_WIDTH // max(columns, MIN_COLUMNS)
    tiles = pd.DataFrame(
        {
            "column": sample.index % columns,
            "line": sample.index // columns,
            "label": sample["label"],
            "source": sample["source"],
            "url": [thumbnail_url(images / name, tile * THUMBNAIL_SCALE) for name in sample["image"]],
        }
    )
    base = alt.Chart(tiles).encode(
        x=alt.X("column:Q", axis=None, scale=alt.Scale(domain=[-0.5, columns - 0.5], nice=False)),
        y=alt.Y("line:Q", axis=None, scale=alt.Scale(domain=[lines - 0.5, -0.5], nice=False)),
        tooltip=[field_tooltip("label", "class"), field_tooltip("source", "file")],
    )
    side = tile - TILE_GAP
    below = tile / 2 - LABEL_HEIGHT / 2 + 8
    return alt.layer(
        base.mark_image(width=side, height=side, yOffset=-LABEL_HEIGHT / 2).encode(url="url:N"),
        base.mark_text(yOffset=below, fontSize=charts.LABEL_SIZE, limit=tile - 4).encode(text="label:N"),
    ).properties(
        width=columns * tile,
        height=lines * (tile + LABEL_HEIGHT),
        title=charts.panel_title(title),
        view=alt.ViewBackground(strokeOpacity=0),
    )
