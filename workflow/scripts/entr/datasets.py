"""Table 1: each dataset as found, beside what was published of it [paper, Tab. 1]."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from entr.guards import atomic_write


def describe(
    entries: Mapping[str, Mapping[str, Any]],
    manifests: Sequence[str | Path],
    rejected: Sequence[str | Path],
    pairs: Sequence[str | Path],
    destination: str | Path,
) -> None:
    """Write Table 1.

    Parameters
    ----------
    entries : mapping
        The datasets' entries in the catalogue, by name, in the order of the files.
    manifests, rejected, pairs : sequence of path
        What `images.downscale` left of each.
    destination : path
        CSV file, one row a dataset: name and traits; images and classes as published and as found;
        the smallest and largest class; the median side of the originals in px; files that are no
        images, images whose labels contradict each other, images that are copies of another one
        that is used, and pairs of copies with one label; source, licence, citation, note.
    """
    frames = [
        [pd.read_csv(path, dtype={"label": str}, keep_default_na=False) for path in paths]
        for paths in (manifests, rejected, pairs)
    ]
    rows = [_row(name, entry, *found) for (name, entry), *found in zip(entries.items(), *frames, strict=True)]
    with atomic_write(destination) as file:
        pd.DataFrame(rows).to_csv(file, index=False)


def _row(
    name: str, entry: Mapping[str, Any], manifest: pd.DataFrame, rejected: pd.DataFrame, pairs: pd.DataFrame
) -> dict[str, Any]:
    counts = manifest["label"].value_counts()
    contradict = rejected["kind"] == "contradiction"
    return {
        "dataset": name,
        "title": entry["title"] or name,
        **entry["traits"],
        "images_published": entry["images"],
        "images_found": len(manifest),
        "classes_published": entry["classes"],
        "classes_found": len(counts),
        "smallest_class": counts.min(),
        "largest_class": counts.max(),
        "median_width_px": manifest["source_width"].median(),
        "median_height_px": manifest["source_height"].median(),
        "no_images": int((~contradict).sum()),
        "contradicting_labels": int(contradict.sum()),
        "copies": len(manifest) - manifest["group"].nunique(),
        "pairs_of_copies": int((pairs["first_label"] == pairs["second_label"]).sum()),
        **{key: entry[key] for key in ("source", "licence", "citation", "note")},
    }
