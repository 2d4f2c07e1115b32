"""*T* after each epoch and the target of the time to accuracy, which the analysis and the figures share."""

import pandas as pd

from entr.metrics.labels import CELL

TARGET_SHARE = 0.98
"""Share of the control's final accuracy that has to be reached; stated beforehand."""


def with_seconds(history: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the epochs of finished cells in order, with *T* after each of them.

    The resizing of a cell is counted from its first epoch, because only its sum is recorded. *T* is therefore exact
    after the last epoch, and earlier never too low for a regime that changes the image size.

    Parameters
    ----------
    history : DataFrame
        One row per epoch, with the columns ``dataset, model, regime, seed, epoch, training_seconds``.
    cells : DataFrame
        One row per finished cell, with the columns ``dataset, model, regime, seed, seconds_resize``.

    Returns
    -------
    DataFrame
        The rows of `history` that belong to `cells`, with the column ``seconds``: *T* in s, on the time basis
        ``training``.
    """
    table = history.merge(cells[[*CELL, "seconds_resize"]], on=CELL).sort_values("epoch", kind="stable")
    training = table.groupby(CELL, sort=False)["training_seconds"].cumsum()
    return table.assign(seconds=training + table.pop("seconds_resize"))
