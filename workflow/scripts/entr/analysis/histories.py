"""Aggregation of what the cells recorded during training: histories, learning-rate curves, confusions."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from entr.jobs.paths import cell_of
from entr.jobs.tables import read_table, write_table
from entr.metrics.cell_files import verify_files
from entr.metrics.labels import CELL, FINAL, PHASE


def write_histories(
    history: Sequence[str | Path],
    steps: Sequence[str | Path],
    lr_find: Sequence[str | Path],
    predictions: Sequence[str | Path],
    *,
    outputs: Mapping[str, str | Path],
) -> None:
    """Concatenate the files of all cells.

    Parameters
    ----------
    history, steps, lr_find, predictions : sequence of path
        Files in the directories of cells, see `cell_of`, each beside the ``metrics.json`` of its cell.
    outputs : mapping of str to path
        CSV files by name: ``history``, ``steps`` and ``lr_find``, with the rows of all cells; and
        ``confusions``, see `count_confusions`.

    Raises
    ------
    EntrError
        If a file is damaged.
    """
    verify_files([*history, *steps, *lr_find, *predictions])
    # other stages are dropped file by file, because those of thousands of cells would not fit into memory
    final = pd.concat([final_predictions(_read_file_of_cell(path)) for path in predictions])
    tables = {
        "history": _concatenate(history),
        "steps": _concatenate(steps),
        "lr_find": _concatenate(lr_find),
        "confusions": count_confusions(final),
    }
    for name, table in tables.items():
        write_table(table, outputs[name])


def _concatenate(paths: Iterable[str | Path]) -> pd.DataFrame:
    return pd.concat([_read_file_of_cell(path) for path in paths], ignore_index=True)


def _read_file_of_cell(path: str | Path) -> pd.DataFrame:
    """Read a file of a cell, with the columns that identify the cell in front."""
    table = read_table(path)
    columns = list(table)
    return table.assign(**cell_of(path))[[*CELL, *columns]]


def count_confusions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count the validation images of each class by predicted class, at the last stage.

    Parameters
    ----------
    predictions : DataFrame
        Predictions of all cells, at any stage and resolution.

    Returns
    -------
    DataFrame
        One row per cell, class and predicted class, with the columns ``dataset, model, regime, seed, label,
        predicted, images, example``. ``example`` is the image with the most confident prediction.
    """
    by_confidence = final_predictions(predictions).sort_values(
        "probability_of_predicted", ascending=False, kind="stable"
    )
    groups = by_confidence.groupby([*CELL, "label", "predicted"], sort=True)["image"]
    return groups.agg(images="count", example="first").reset_index()


def final_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of the last stage at the size of its phase."""
    return predictions[(predictions["stage"] == FINAL) & (predictions["resolution"] == PHASE)]
