"""Summary of the datasets as found and as published [paper, Table 1]."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from entr.jobs.tables import read_columns, read_table, write_table


def summarise_datasets(
    entries: Mapping[str, Mapping[str, Any]],
    manifests: Iterable[str | Path],
    rejected: Iterable[str | Path],
    duplicates: Iterable[str | Path],
    destination: str | Path,
) -> None:
    """Write Table 1, with one row per dataset.

    Parameters
    ----------
    entries : mapping
        Entries of the catalogue, by name of the dataset; the rows have this order.
    manifests, rejected, duplicates : iterable of path
        Tables of `entr.data.downscale.downscale_dataset`, in any order. The directory of a file
        has the name of its dataset.
    destination : path
        CSV file to write. It has the name and the traits of each dataset, the number of images and
        classes as published and as found, the smallest and the largest class, and the median side
        of the originals in px. It counts files that are not images, images with contradicting
        labels, near-duplicates of another image, and pairs of near-duplicates with one label.
        Source, licence, citation and note come last.
    """
    manifest_of, rejected_of, duplicates_of = (
        {Path(path).parent.name: path for path in paths} for paths in (manifests, rejected, duplicates)
    )
    rows = [
        _summary_row(
            name,
            entry,
            manifest=read_columns(manifest_of[name], label=str, source_width=int, source_height=int, group=int),
            rejected=read_table(rejected_of[name]),
            duplicates=read_table(duplicates_of[name]),
        )
        for name, entry in entries.items()
    ]
    write_table(pd.DataFrame(rows), destination)


def _summary_row(
    name: str,
    entry: Mapping[str, Any],
    *,
    manifest: pd.DataFrame,
    rejected: pd.DataFrame,
    duplicates: pd.DataFrame,
) -> dict[str, Any]:
    counts = manifest["label"].value_counts()
    contradictions = rejected["kind"] == "contradiction"
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
        "unreadable_files": int((~contradictions).sum()),
        "contradicting_labels": int(contradictions.sum()),
        "near_duplicates": len(manifest) - manifest["group"].nunique(),
        "near_duplicate_pairs": int((duplicates["first_label"] == duplicates["second_label"]).sum()),
        **{key: entry[key] for key in ("source", "licence", "citation", "note")},
    }
