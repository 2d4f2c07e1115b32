import re

import pandas as pd
import pytest
import simulated
from conftest import ROOT

from entr.figures.catalogue import CATALOGUE
from entr.jobs.tables import write_table
from entr.report.page import write_report
from entr.report.verdict import write_verdict

SPEC = """{
    "title": {"text": "A finding"},
    "description": "A finding, with <b>marks</b> & </script>",
    "usermeta": {"titles": {"": "A finding"}, "notes": ["a note"]}
}"""
FIGURE = "fig4_efficiency"
FACTORS = {"models": ("resnet18",), "regimes": ("no-increase", "gradual")}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Function that writes a report on simulated tables and returns its HTML; arguments change the design."""
    folder = tmp_path_factory.mktemp("report")
    datasets = pd.DataFrame([{"dataset": "ucm", "title": "UCM", "images_found": 2100, "note": "<b>bold</b>"}])
    for name, table in (simulated.grid(**FACTORS) | {"datasets": datasets}).items():
        write_table(table, folder / f"{name}.csv")
    inputs = {name: folder / f"{name}.csv" for name in ("metrics", "pairs", "effects", "cells")}
    outputs = {name: folder / f"{name}.csv" for name in ("answer", "claims")}
    outputs |= {"verdict": folder / "verdict.md", "text": folder / "answer.txt"}
    write_verdict(**inputs, design=simulated.design(**FACTORS), outputs=outputs)
    (folder / "recommendation.md").write_text("# Recommended model\n\n## UCM\n\n| a |\n| --- |\n| <i>b</i> |\n")
    (folder / f"{FIGURE}.vl.json").write_text(SPEC)
    (folder / "vega.js").write_text("/* the library */ if (a < b) '</script>';")

    def write(**changes):
        write_report(
            library=folder / "vega.js",
            verdict=folder / "verdict.md",
            recommendation=folder / "recommendation.md",
            specs=[folder / f"{FIGURE}.vl.json"],
            tables=[folder / f"{name}.csv" for name in ("answer", "claims", "datasets", "summary", "effects", "cells")],
            design=simulated.design(**FACTORS | changes),
            catalogue={name: figure.plain() for name, figure in CATALOGUE.items()},
            configuration={"grid": {"seeds": [0, 1]}},
            citation=(ROOT / "CITATION.cff").read_text(),
            page=folder / "report.html",
        )
        return (folder / "report.html").read_text(encoding="utf-8")

    return write


def test_sections_are_in_the_order_of_importance(report):
    html = report()
    texts = ("<h1>Undecided: ", "Is it faster?", "<h2>Recommended model", f'<h3 id="{FIGURE}"')
    positions = [html.index(text) for text in texts]
    positions += [
        html.index(f'id="{name}"')
        for name in ("claims", "method", "tables", "configuration", "environment", "citation")
    ]
    assert positions == sorted(positions)


def test_library_is_inlined_once_and_does_not_end_its_script(report):
    html = report()
    assert html.count("/* the library */") == 1
    assert "'<\\/script>'" in html
    assert '</script>"' not in html.partition("const specs")[2].partition("</script>")[0]


def test_html_in_texts_of_users_is_escaped(report):
    html = report()
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "<b>bold</b>" not in html
    assert "&lt;i&gt;b&lt;/i&gt;" in html


def test_recommendation_is_a_section_of_the_page(report):
    html = report()
    assert html.count("<h1>") == 1
    assert "<h3>UCM</h3>" in html
    assert 'aria-label="Table 1 of the recommendation"' in html


def test_every_link_of_the_contents_has_a_target(report):
    html = report()
    anchors = re.findall(r'<a href="#([^"]+)"', html)
    assert anchors
    assert all(html.count(f'id="{anchor}"') == 1 for anchor in anchors)


def test_missing_cells_and_what_the_grid_lacks_of_the_paper_are_named(report):
    html = report(seeds=3).partition('id="configuration"')[2]
    assert "2 of 6 cells of the grid are missing: ucm resnet18 no-increase seed 2; ucm resnet18 gradual seed 2." in html
    assert "The grid lacks datasets of the paper: steel, bees." in html
    assert (
        "The grid lacks rivals, which could match a treatment without increasing sizes: matched, small, medium." in html
    )
    assert "No cell is missing: all 4 cells of the grid are finished." in report().partition('id="configuration"')[2]


def test_stand_in_is_not_listed_as_a_dataset_of_the_paper(report):
    html = report(stand_in_for={"ucm": "steel"}).partition('id="configuration"')[2]
    assert "The grid lacks datasets of the paper: steel (only a stand-in), bees." in html


def test_citation_contains_this_workflow_and_the_paper(report):
    html = report()
    assert "arXiv:1807.11583" in html
    assert "The ENTR developers" in html


def test_tables_show_means_effects_and_wall_time(report):
    html = report()
    for heading in ("Accuracy, time and efficiency", "Effects relative to the control", "Wall time by activity"):
        assert f">{heading}</h3>" in html
    assert "ratio of As" in html
    assert "after fine-tuning, with test-time augmentation" in html
