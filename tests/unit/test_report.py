import re
from dataclasses import asdict

import pandas as pd
import pytest
import simulated
from conftest import ROOT

from entr import pages, report, verdict
from entr.figures.gallery import GALLERY

SPEC = '{"title": {"text": "A finding"}, "description": "A finding, with <b>marks</b> & </script>"}'


def study(**given):
    return {
        "datasets": {"ucm": "UCM"}, "stands_for": {"ucm": ""}, "models": ["resnet18"],
        "regimes": ["no-increase", "gradual"], "seeds": [0, 1], "control": "no-increase", "basis": "training",
    } | given  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return how to write a report of simulated tables, as text."""
    folder = tmp_path_factory.mktemp("report")
    tables = simulated.grid(models=("resnet18",), regimes=("no-increase", "gradual")).copy()
    tables["datasets"] = pd.DataFrame([{"dataset": "ucm", "title": "UCM", "images_found": 2100, "note": "<b>bold</b>"}])
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    inputs = {name: folder / f"{name}.csv" for name in ("cells", "efficiency", "effects", "runs")}
    outputs = {"claims_table": folder / "claims.csv", "verdict": folder / "verdict.md"}
    verdict.write(**inputs, settings=study(folds=10), **outputs)
    (folder / "recommendation.md").write_text("# Which network to take\n\n## UCM\n\n| a |\n| --- |\n| <i>b</i> |\n")
    (folder / "fig4.vl.json").write_text(SPEC)
    (folder / "vega.js").write_text("/* the library */ if (a < b) '</script>';")

    def write(**given):
        report.write(
            folder / "verdict.md",
            [folder / "fig4.vl.json"],
            [folder / f"{name}.csv" for name in ("datasets", "summary", "effects", "runs")],
            recommendation=folder / "recommendation.md",
            gallery={name: asdict(figure) for name, figure in GALLERY.items()},
            study=study(**given),
            configuration={"grid": {"seeds": [0, 1]}},
            citation=(ROOT / "CITATION.cff").read_text(),
            library=folder / "vega.js",
            page=folder / "report.html",
        )
        return (folder / "report.html").read_text(encoding="utf-8")

    return write


def test_the_verdict_comes_first_then_the_papers_figures_then_the_rest(made):
    html = made()
    places = [html.index(one) for one in ("cannot tell", "<h2>Which network", "The paper&#39;s figures", 'id="fig4"')]
    places += [html.index(f'id="{one}"') for one in ("tables", "environment", "configuration", "missing", "citation")]
    assert places == sorted(places)


def test_the_library_is_there_once_and_ends_no_script(made):
    html = made()
    assert html.count("/* the library */") == 1
    assert "'<\\/script>'" in html
    assert '</script>"' not in html.partition("const specs")[2].partition("</script>")[0]


def test_words_of_others_are_text_and_no_marks(made):
    html = made()
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "<b>bold</b>" not in html
    assert "&lt;i&gt;b&lt;/i&gt;" in html


def test_the_recommendation_is_a_part_of_the_page_and_not_its_title(made):
    html = made()
    assert html.count("<h1>") == 1
    assert "<h3>UCM</h3>" in html
    assert 'aria-label="Table 1 of the recommendation"' in html


def test_every_anchor_of_the_contents_is_there(made):
    html = made()
    anchors = re.findall(r'<a href="#([^"]+)"', html)
    assert anchors
    assert all(html.count(f'id="{anchor}"') == 1 for anchor in anchors)


def test_what_is_missing_is_named(made):
    html = made(seeds=[0, 1, 2]).partition('id="missing"')[2]
    assert "2 of 6 cells of the grid: ucm resnet18 no-increase seed 2; ucm resnet18 gradual seed 2." in html
    assert "Of the paper&#39;s datasets: steel, bees." in html
    assert "none is missing" in made().partition('id="missing"')[2]


def test_a_stand_in_is_no_dataset_of_the_paper(made):
    html = made(stands_for={"ucm": "steel"}).partition('id="missing"')[2]
    assert "Of the paper&#39;s datasets: steel, bees (steel by a stand-in only)." in html


def test_it_says_how_to_cite_this_and_the_paper(made):
    html = made()
    assert "arXiv:1807.11583" in html
    assert "The ENTR developers" in html


def test_json_within_a_script_cannot_end_it():
    assert "</script>" not in pages.embedded({"a": "</script>"})
