"""Reading what cells left, with one clear error where a file was cut short or changed since."""

import io
from pathlib import Path

import pandas as pd

from entr.guards import EntrError


def damaged(path: str | Path, why: object) -> EntrError:
    """Return the error of a file that is not as a job left it.

    Parameters
    ----------
    path : path
        The file.
    why : object
        What reading it said; its first line is shown.
    """
    reason = str(why).strip().splitlines()[0]
    if "cells" in (parts := Path(path).parts):
        mend = f"delete the folder {Path(*parts[:-1])} and run again: that cell alone is trained again"
    else:
        mend = "delete it and run again"
    return EntrError(f"{path} is damaged ({reason}); {mend}")


def read_csv(path: str | Path, **options: object) -> pd.DataFrame:
    """Read a table that a job of ours wrote.

    Parameters
    ----------
    path : path
        A CSV file, whose last line ends as every other.
    **options
        Of `pandas.read_csv`.

    Raises
    ------
    EntrError
        When it is damaged.
    """
    content = Path(path).read_bytes()
    try:
        if content and not content.endswith(b"\n"):
            raise ValueError("its last line is cut")
        return pd.read_csv(io.BytesIO(content), **options)
    except ValueError as error:
        raise damaged(path, error) from error
