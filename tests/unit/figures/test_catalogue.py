import importlib
from dataclasses import replace

import pytest

from entr.figures.catalogue import CATALOGUE, SAMPLE_IMAGES
from entr.jobs.paths import SCRIPTS


@pytest.mark.parametrize("figure", CATALOGUE.values(), ids=list(CATALOGUE))
def test_source_is_the_module_that_plots_the_figure(figure):
    module = importlib.import_module(f"entr.figures.{figure.module}")
    assert (SCRIPTS / figure.source).samefile(module.__file__)
    assert hasattr(module, "plot_sample_images" if figure.name == SAMPLE_IMAGES else "plot")


def test_figure_of_the_answer_comes_first_and_headings_are_unique():
    assert list(CATALOGUE)[:1] == ["effects"]
    assert len({figure.heading for figure in CATALOGUE.values()}) == len(CATALOGUE)


def test_plain_values_describe_the_figure_completely():
    figure = CATALOGUE["effects"]
    assert replace(figure, **figure.plain()) == figure
