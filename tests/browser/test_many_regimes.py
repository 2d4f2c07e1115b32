"""Figures and report of the twelve published schedules in a real browser, on a screen and on a phone."""

import published_schedules
import pytest
from conftest import ROOT

from entr.figures import html_pages, render
from entr.figures.catalogue import CATALOGUE, SAMPLE_IMAGES
from entr.report import page

FIGURES = [name for name in CATALOGUE if name != SAMPLE_IMAGES]
LABELLED = {
    "fig1_accuracy_time": "fill='#595959'",
    "learning_curves": "fill='#595959'",
    "fig3_schedule": "font-size",
}
"""Figures whose labels depend on the width of the screen, and an attribute that selects the labels."""
WIDTHS = [390, 1280]
OVERLAPS = """(selector) => {
  const texts = [...document.querySelectorAll(`svg.marks g.mark-text.role-mark text[${selector}]`)];
  const boxes = texts.filter((text) => text.textContent.trim()).map((text) => [text, text.getBoundingClientRect()]);
  const apart = (a, b) => a.right < b.left + 1 || a.bottom < b.top + 3;
  const overlap = (a, b) => !apart(a, b) && !apart(b, a);
  return [boxes.length, boxes.flatMap(([one, a], index) => boxes.slice(index + 1)
    .filter(([, b]) => overlap(a, b)).map(([other]) => `${one.textContent} and ${other.textContent}`))];
}"""
"""Number of labels of a chart, and the pairs that overlap; a few pixels around the letters may."""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Directory with the figures of a simulated grid of two datasets and its report."""
    folder = tmp_path_factory.mktemp("results")
    factors = {"datasets": ("ucm", "flowers"), "seeds": 2}
    data = published_schedules.figure_data(published_schedules.grid(**factors), **factors)
    figures, library = folder / "figures", folder / "figures" / "vega.js"
    html_pages.bundle_vega(library)
    for name in FIGURES:
        render.plot_figure(name, CATALOGUE[name].plain(), data, library=library, folder=figures)
    published_schedules.write_results(data, folder)
    page.write_report(
        library,
        folder / "verdict.md",
        folder / "recommendation.md",
        [figures / f"{name}.vl.json" for name in FIGURES],
        [folder / "tables" / f"{name}.csv" for name in ("answer", "claims", "datasets", "summary", "effects", "cells")],
        design=data.design,
        catalogue={name: figure.plain() for name, figure in CATALOGUE.items()},
        configuration={},
        citation=(ROOT / "CITATION.cff").read_text(),
        page=folder / "report.html",
    )
    return folder


@pytest.mark.parametrize("width", WIDTHS)
def test_report_is_as_wide_as_the_screen(width, results, reader):
    one = reader(viewport={"width": width, "height": 900})
    page = one.open(results / "report.html")
    assert one.messages == []
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", LABELLED)
def test_labels_of_a_chart_do_not_overlap(name, width, results, reader):
    one = reader(viewport={"width": width, "height": 900})
    page = one.open(results / "figures" / f"{name}.html")
    page.wait_for_function("document.documentElement.dataset.drawn === 'all'")
    count, overlaps = page.evaluate(OVERLAPS, LABELLED[name])
    assert count > 10
    assert overlaps == []
    assert one.messages == []
