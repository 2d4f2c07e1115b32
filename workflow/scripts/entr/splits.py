"""Dividing images into training and validation: the folds that are the replicates."""

import logging
from pathlib import Path

import pandas as pd
from sklearn.model_selection import StratifiedKFold

from entr.guards import EntrError, atomic_write

log = logging.getLogger("entr")

UNEVEN = 0.5
"""A share of validation images that is further than this from what the folds ask for, relatively, is said."""


def split(manifest: str | Path, destination: str | Path, *, seed: int, folds: int) -> None:
    """Mark each image as training or validation.

    Seeds 0 to `folds` - 1 are the folds of one stratified partition, the next seeds those of
    another, so that within each every image is validated once. Images that are the same or nearly
    so, a group of the manifest, stay on one side.

    Parameters
    ----------
    manifest : path
        CSV file with the columns ``image``, ``label``, ``sha256`` and ``group``.
    destination : path
        CSV file with the columns ``image``, ``label``, ``class`` (number of the label in
        alphabetical order) and ``validation`` (True or False), in the order of the manifest.
    seed : int
        The replicate.
    folds : int
        Number of folds; 10 give the paper's 90 % and 10 %.

    Raises
    ------
    EntrError
        When there are fewer than two classes, or a class has fewer groups of images than there are folds.
    """
    table = pd.read_csv(manifest, dtype={"label": str}, keep_default_na=False)
    # sorted by content, so that neither names nor the order of files decide
    unique = table.sort_values("sha256").drop_duplicates("group", ignore_index=True)
    counts = unique["label"].value_counts()
    if len(counts) < 2:
        raise EntrError(f"{manifest} has images of {len(counts)} classes; at least two are needed to tell apart")
    if counts.min() < folds:
        raise EntrError(
            f"class {counts.idxmin()!r} in {manifest} has {counts.min()} different images; "
            f"{folds} folds (split.folds) need at least {folds} of each class (those that look alike, by "
            "images.max_distance, count once)"
        )
    partition = StratifiedKFold(folds, shuffle=True, random_state=seed // folds)
    _, held_out = list(partition.split(unique, unique["label"]))[seed % folds]
    validation = table["group"].isin(unique["group"].iloc[held_out])
    classes = pd.Categorical(table["label"]).codes
    result = table[["image", "label"]].assign(**{"class": classes, "validation": validation})
    with atomic_write(destination) as file:
        result.to_csv(file, index=False)
    log.info("seed %d: %d images to train on, %d to validate", seed, (~validation).sum(), validation.sum())
    if abs(validation.mean() * folds - 1) > UNEVEN:
        log.warning(
            "%.0f %% of the images validate, not %.0f %%: some are copies of so many others that they fill a fold",
            100 * validation.mean(), 100 / folds,
        )  # fmt: skip
