"""Plotting of one figure of the catalogue."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entr.figures import charts
from entr.figures.figure_data import FigureData


def plot_figure(
    name: str, figure: Mapping[str, Any], data: FigureData, *, library: str | Path, folder: str | Path
) -> None:
    """Plot a figure and save it as Vega-Lite, SVG, PNG and HTML.

    Parameters
    ----------
    name : str
        Name of the figure and of its files.
    figure : mapping
        Its entry in the catalogue as plain values.
    data : FigureData
        The tables from which it is drawn.
    library : path
        Vega's JavaScript.
    folder : path
        Directory for the files.
    """
    # imported by name, so that the code digest of a figure covers its own module and not those of the others
    module = importlib.import_module(f"entr.figures.{figure['module']}")
    charts.save_figure(module.plot(data), name, figure, library=library, folder=folder)
