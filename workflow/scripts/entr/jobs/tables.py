"""Reading and writing of tables, with one policy for text, numbers and missing values."""

import io
from pathlib import Path

import pandas as pd
from pandas.api.types import is_bool_dtype, is_integer_dtype

from entr.jobs.errors import EntrError
from entr.jobs.files import atomic_write
from entr.jobs.paths import cell_of

TEXT = frozenset[str]().union(
    ["dataset", "title", "model", "regime", "weights", "phase", "layers", "stage", "resolution", "state"],
    ["metric", "time_basis", "unit", "scope", "family", "note"],
    ["part", "comparator", "target", "time_change", "sentence", "lacking", "leading"],
    ["label", "predicted", "image", "example", "source", "first", "second", "first_label", "second_label"],
    ["sha256", "phash", "kind", "reason", "url", "status", "detail", "licence", "citation"],
    ["path", "prediction", "problem", "plan", "sizes_in_host_memory"],
    ["precision", "device", "device_type", "driver", "python", "torch", "torchvision", "fastai"],
    ["pairing", "change_unit", "section", "key", "before", "after"],
    ["claim", "evaluated_on", "stand_in_for", "statement", "verdict", "result", "paper", "comparison", "goal"],
)
"""Columns of text, in which ``nan`` and an empty field are values. In others, an empty field is a missing number."""
DESCRIPTIONS = {str: "text", int: "a number of 0 or more", bool: "True or False"}
"""Types of columns, for messages."""


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV file that a job of this workflow wrote.

    Parameters
    ----------
    path : path
        A CSV file; columns in `TEXT` are read as text, whatever they look like.

    Returns
    -------
    DataFrame
        Without columns if the table has none, as a table without rows may.

    Raises
    ------
    EntrError
        If the file is empty or truncated, or is not a CSV file.
    """
    content = Path(path).read_bytes()
    if not content.endswith(b"\n"):
        raise damaged_file(path, "its last line is truncated" if content else "it is empty")
    try:
        columns = pd.read_csv(io.BytesIO(content), nrows=0).columns
        missing = {column: [""] for column in columns if column not in TEXT}
        text = dict.fromkeys(TEXT.intersection(columns), str)
        return pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=missing, dtype=text)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except ValueError as error:
        raise damaged_file(path, error) from error


def read_columns(path: str | Path, /, **types: type[str] | type[int] | type[bool]) -> pd.DataFrame:
    """Read a CSV file that a job of this workflow wrote, and check the columns that are used.

    Parameters
    ----------
    path : path
        A CSV file.
    **types : type
        Type of each of these columns. Numbers are not negative.

    Returns
    -------
    DataFrame
        All columns of the file, in at least one row.

    Raises
    ------
    EntrError
        If the file is damaged, has no rows, or lacks a column, or if a column is of another type.
    """
    table = read_table(path)
    for name, kind in types.items():
        if name not in table:
            raise damaged_file(path, f"the column {name} is missing")
        if table.empty:
            raise damaged_file(path, "it has no rows")
        column = table[name]
        is_valid = {
            # a row that ends early has no text in its last columns
            str: name in TEXT and column.notna().all() and (column != "").all(),
            int: is_integer_dtype(column) and column.min() >= 0,
            bool: is_bool_dtype(column),
        }
        if not is_valid[kind]:
            raise damaged_file(path, f"a value in the column {name} is not {DESCRIPTIONS[kind]}")
    return table


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table atomically as a CSV file."""
    with atomic_write(path) as file:
        table.to_csv(file, index=False)


def damaged_file(path: str | Path, reason: object) -> EntrError:
    """Return the error for a file that differs from what a job wrote.

    Parameters
    ----------
    path : path
        The file.
    reason : object
        The problem, or the exception that reading the file raised; its first line is shown.
    """
    first_line = str(reason).strip().splitlines()[0]
    try:
        cell_of(path)
    except ValueError:
        remedy = "delete it and run again"
    else:
        folder = Path(path).parent
        remedy = f"restore it from a copy, or delete the directory {folder} and run again: only that cell is retrained"
    return EntrError(f"{path} is damaged ({first_line}); {remedy}")
