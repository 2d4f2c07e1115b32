"""Split of a dataset: test images, and stratified folds of the others, one per replicate."""

import logging
from pathlib import Path

import pandas as pd
from sklearn.model_selection import StratifiedKFold, train_test_split

from entr.jobs.errors import EntrError, one_line
from entr.jobs.tables import read_columns, write_table

log = logging.getLogger("entr")

TEST_SEED = 0
"""Seed of the choice of test images, which is the same for every replicate."""
MAX_DEVIATION = 0.5
"""Relative deviation from the nominal fraction of validation images, above which a warning is logged."""


def split_dataset(manifest: str | Path, destination: str | Path, *, seed: int, folds: int, test: float = 0) -> None:
    """Assign each image to training, validation or test.

    Seeds 0 to `folds` - 1 are the folds of one stratified partition, the next seeds those of
    another. Within a partition each image is a validation image exactly once. Near-duplicates,
    which share a group of the manifest, stay on one side of the split.

    Parameters
    ----------
    manifest : path
        CSV file with the columns ``image``, ``label``, ``sha256`` and ``group``.
    destination : path
        CSV file to write, in the order of the manifest, with the columns ``image``, ``label``,
        ``class`` (index of the label in alphabetical order), ``validation`` and ``test`` (True or False).
    seed : int
        Number of the replicate.
    folds : int
        Number of folds; 10 give the 90 % and 10 % of the paper.
    test : float
        Fraction of the images, stratified by class, that no fold contains; they are the same for every seed.

    Raises
    ------
    EntrError
        If the manifest is damaged, if there are fewer than two classes, or if a class has fewer distinct
        images than folds.
    """
    table = read_columns(manifest, image=str, label=str, sha256=str, group=int)
    # sorted by content, so that the split depends neither on file names nor on their order
    unique = table.sort_values("sha256").drop_duplicates("group", ignore_index=True)
    n_classes = unique["label"].nunique()
    if n_classes < 2:
        raise EntrError(
            f"{manifest} has images of {n_classes} classes, but a classifier needs at least two; "
            "add the images of another class"
        )
    _check_counts(unique, folds, str(manifest))
    remaining, held_out = _hold_out(unique, test, str(manifest))
    _check_counts(remaining, folds, str(manifest), without=", without the test images", other_key=" or split.test")
    partition = StratifiedKFold(folds, shuffle=True, random_state=seed // folds)
    _, validation_rows = list(partition.split(remaining, remaining["label"]))[seed % folds]
    is_validation = table["group"].isin(remaining["group"].iloc[validation_rows])
    is_test = table["group"].isin(held_out["group"])
    columns = {"class": pd.Categorical(table["label"]).codes, "validation": is_validation, "test": is_test}
    write_table(table[["image", "label"]].assign(**columns), destination)
    n_training = len(table) - is_validation.sum() - is_test.sum()
    log.info(
        "seed %d: %d training, %d validation and %d test images",
        *(seed, n_training, is_validation.sum(), is_test.sum()),
    )
    share = is_validation[~is_test].mean()
    if abs(share * folds - 1) > MAX_DEVIATION:
        log.warning(
            "seed %d: validation share is %.0f %% instead of %.0f %% "
            "(a group of near-duplicates is larger than one fold)",
            *(seed, 100 * share, 100 / folds),
        )


def _check_counts(images: pd.DataFrame, folds: int, manifest: str, *, without: str = "", other_key: str = "") -> None:
    """Raise an error if a class has fewer distinct images than there are folds."""
    counts = images["label"].value_counts()
    if counts.min() < folds:
        raise EntrError(
            f"class {counts.idxmin()!r} in {manifest} has {counts.min()} distinct images{without}, fewer than the "
            f"{folds} folds (near-duplicates count once, see images.max_hash_distance); add images of that class, "
            f"remove the class, or lower split.folds{other_key}"
        )


def _hold_out(unique: pd.DataFrame, fraction: float, manifest: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images for training and validation, and the test images, stratified by class."""
    if not fraction:
        return unique, unique.iloc[:0]
    try:
        remaining, held_out = train_test_split(
            unique, test_size=fraction, stratify=unique["label"], random_state=TEST_SEED
        )
    except ValueError as error:
        raise EntrError(
            f"{manifest} has too few images for split.test: {fraction:g} ({one_line(error)}); raise it, or set it to 0"
        ) from error
    return remaining.sort_index(ignore_index=True), held_out
