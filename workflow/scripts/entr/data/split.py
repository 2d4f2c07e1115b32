"""Split of a dataset into training and validation images: stratified folds, one per replicate."""

import logging
from pathlib import Path

import pandas as pd
from sklearn.model_selection import StratifiedKFold

from entr.jobs.errors import EntrError
from entr.jobs.tables import read_table, write_table

log = logging.getLogger("entr")

MAX_DEVIATION = 0.5
"""Relative deviation from the nominal fraction of validation images, above which a warning is logged."""


def split_dataset(manifest: str | Path, destination: str | Path, *, seed: int, folds: int) -> None:
    """Assign each image to training or validation.

    Seeds 0 to `folds` - 1 are the folds of one stratified partition, the next seeds those of
    another. Within a partition each image is a validation image exactly once. Near-duplicates,
    which share a group of the manifest, stay on one side of the split.

    Parameters
    ----------
    manifest : path
        CSV file with the columns ``image``, ``label``, ``sha256`` and ``group``.
    destination : path
        CSV file to write, in the order of the manifest, with the columns ``image``, ``label``,
        ``class`` (index of the label in alphabetical order) and ``validation`` (True or False).
    seed : int
        Number of the replicate.
    folds : int
        Number of folds; 10 give the 90 % and 10 % of the paper.

    Raises
    ------
    EntrError
        If there are fewer than two classes, or if a class has fewer distinct images than folds.
    """
    table = read_table(manifest)
    # sorted by content, so that the split depends neither on file names nor on their order
    unique = table.sort_values("sha256").drop_duplicates("group", ignore_index=True)
    counts = unique["label"].value_counts()
    if len(counts) < 2:
        raise EntrError(
            f"{manifest} has images of {len(counts)} classes, but a classifier needs at least two; "
            "add the images of another class"
        )
    if counts.min() < folds:
        raise EntrError(
            f"class {counts.idxmin()!r} in {manifest} has {counts.min()} distinct images, fewer than the {folds} folds "
            "(near-duplicates count once, see images.max_hash_distance); add images of that class, remove the class, "
            "or lower split.folds"
        )
    partition = StratifiedKFold(folds, shuffle=True, random_state=seed // folds)
    _, validation_rows = list(partition.split(unique, unique["label"]))[seed % folds]
    validation = table["group"].isin(unique["group"].iloc[validation_rows])
    classes = pd.Categorical(table["label"]).codes
    write_table(table[["image", "label"]].assign(**{"class": classes, "validation": validation}), destination)
    log.info("seed %d: %d training and %d validation images", seed, (~validation).sum(), validation.sum())
    if abs(validation.mean() * folds - 1) > MAX_DEVIATION:
        log.warning(
            "seed %d: validation share is %.0f %% instead of %.0f %% "
            "(a group of near-duplicates is larger than one fold)",
            seed,
            100 * validation.mean(),
            100 / folds,
        )
