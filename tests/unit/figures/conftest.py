"""Vega's JavaScript and small images, made once per session."""

import pytest
import simulated

from entr.figures import html_pages


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "vega.js"
    html_pages.bundle_vega(path)
    return path


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    return simulated.images(tmp_path_factory.mktemp("images"), simulated.TITLES)
