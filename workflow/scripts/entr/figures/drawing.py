"""Draw one figure of those that `gallery` lists."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entr import charts
from entr.figures.results import Results


def draw(name: str, shown: Mapping[str, Any], results: Results, *, library: str | Path, folder: str | Path) -> None:
    """Write a figure as Vega-Lite, SVG, PNG, and as a page of HTML.

    Parameters
    ----------
    name : str
        Of its files.
    shown : mapping
        Its entry in the gallery, as plain values.
    results : Results
        With the tables that it is drawn from.
    library : path
        Vega's JavaScript.
    folder : path
        Gets the files.
    """
    # by name, so that each figure depends on the code of its own subject alone
    module = importlib.import_module(f"entr.figures.{shown['module']}")
    charts.save(getattr(module, shown["function"])(results), name, shown, library=library, folder=folder)
