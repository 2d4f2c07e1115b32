"""What the cells recorded while they trained, each kind in one table."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from entr.damage import read_csv
from entr.guards import atomic_write

FINAL = "total-tta"
"""The stage whose confusions are counted."""


def write(
    history: Iterable[str | Path],
    steps: Iterable[str | Path],
    lr_find: Iterable[str | Path],
    predictions: Iterable[str | Path],
    *,
    tables: dict[str, str | Path],
) -> None:
    """Join the files of all cells.

    Parameters
    ----------
    history, steps, lr_find, predictions : iterable of path
        Files of cells, as ``<dataset>/<model>/<regime>/seed<seed>/history.csv``.
    tables : dict of str to path
        CSV files by the names ``history``, ``steps``, ``lr_find``, with the rows of the cells, and
        ``confusions``: a row for each class, class that it was taken for, and cell.

    Raises
    ------
    EntrError
        When a file is damaged.
    """
    joined = {
        "history": _joined(history),
        "steps": _joined(steps),
        "lr_find": _joined(lr_find),
        # those of other stages are left out at once: of thousands of cells they would fill the memory
        "confusions": confusions(pd.concat([_final(_of_cell(Path(path))) for path in predictions])),
    }
    for name, table in joined.items():
        with atomic_write(tables[name]) as file:
            table.to_csv(file, index=False)


def _joined(paths: Iterable[str | Path]) -> pd.DataFrame:
    return pd.concat([_of_cell(Path(path)) for path in paths], ignore_index=True)


def _of_cell(path: Path) -> pd.DataFrame:
    dataset, model, regime, seed = path.parts[-5:-1]
    # a class may be called "nan" or "01"
    table = read_csv(path, dtype={"label": str, "predicted": str}, keep_default_na=False)
    for position, (name, value) in enumerate(
        {"dataset": dataset, "model": model, "regime": regime, "seed": int(seed.removeprefix("seed"))}.items()
    ):
        table.insert(position, name, value)
    return table


def confusions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count what the images of each class were taken for, at the last stage and the size of its phase.

    Returns
    -------
    DataFrame
        Columns ``dataset, model, regime, seed, label, predicted, images, example``: the image of which
        the network was surest.
    """
    surest_first = _final(predictions).sort_values("probability_of_predicted", ascending=False, kind="stable")
    keys = ["dataset", "model", "regime", "seed", "label", "predicted"]
    groups = surest_first.groupby(keys, sort=True)["image"]
    return groups.agg(images="count", example="first").reset_index()


def _final(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[(predictions["stage"] == FINAL) & (predictions["at"] == "phase")]
