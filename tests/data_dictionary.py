"""Comparison of tables with the data dictionary."""

import re

from pandas.api import types

from entr.jobs.tables import read_table
from entr.metrics.data_dictionary import METRICS, TABLES, documented_columns

IS_OF_TYPE = {
    "text": types.is_string_dtype,
    # integers with missing values are read as floating-point numbers
    "integer": types.is_numeric_dtype,
    "number": types.is_numeric_dtype,
    "boolean": types.is_bool_dtype,
}


def tables_in(results):
    """Return the tables below a results directory by their key in the dictionary: lists of paths."""
    return {key: sorted(results.glob(re.sub("<.*?>", "*", key))) for key in TABLES}


def problems_of(key, path):
    """Return the differences between a table and its entry in the dictionary, as a list of sentences."""
    table = read_table(path)
    documented = documented_columns(key)
    columns = list(table.columns)
    if key == "tables/datasets.csv":
        # traits of the catalogue
        columns = [column for column in columns if column in documented]
    if columns != documented:
        return [f"{path} has the columns {columns}, but documented are {documented}"]
    wrong = [
        f"{path}: column {column.name} is not of the documented type {column.type}"
        for column in TABLES[key].columns
        if not table[column.name].isna().all() and not IS_OF_TYPE[column.type](table[column.name])
    ]
    if key == "tables/metrics.csv":
        units = table.drop_duplicates("metric").set_index("metric")["unit"].to_dict()
        documented_units = {name: unit for name, (unit, _) in METRICS.items()}
        if not units.items() <= documented_units.items():
            wrong.append(f"{path} has the units {units}, but documented are {documented_units}")
    return wrong


def undocumented_tables(results):
    """Return the CSV files below a results directory that are not in the dictionary."""
    documented = {path for paths in tables_in(results).values() for path in paths}
    return sorted(set(results.rglob("*.csv")) - documented)
