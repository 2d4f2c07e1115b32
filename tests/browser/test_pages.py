"""The report and each figure in a real browser that is offline, as a reader opens them."""

import pandas as pd
import pytest
import simulated
from conftest import ROOT

from entr.figures import html_pages, render
from entr.figures.catalogue import CATALOGUE, SAMPLE_IMAGES
from entr.figures.figure_data import FigureData
from entr.report import error_analysis, page, recommendation, verdict

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

FIGURES = [name for name in CATALOGUE if name != SAMPLE_IMAGES]
CHART, TITLE = (
    "document.querySelector('svg.marks').innerHTML",
    "document.querySelector('p.finding').textContent",
)
DATASETS = ("ucm", "bees")
DESIGN = simulated.design(DATASETS, seeds=3)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a directory with the report and all figures of a simulated grid."""
    folder = tmp_path_factory.mktemp("results")
    figures, library = folder / "figures", folder / "figures" / "vega.js"
    html_pages.bundle_vega(library)
    tables = _write_tables(folder / "tables")
    images = simulated.images(folder / "images", DATASETS)
    plans = simulated.plans(DATASETS, DESIGN.regimes)
    for name in FIGURES:
        paths = [tables[table] for table in CATALOGUE[name].tables]
        data = FigureData.read(paths, DESIGN, plans=plans, images=images)
        render.plot_figure(name, CATALOGUE[name].plain(), data, library=library, folder=figures)
    verdict.write_verdict(
        **{name: tables[name] for name in ("metrics", "pairs", "effects", "cells")},
        design=DESIGN,
        outputs={
            "answer": folder / "tables" / "answer.csv",
            "claims": folder / "tables" / "claims.csv",
            "text": folder / "answer.txt",
            "verdict": folder / "verdict.md",
        },
    )
    recommendation.write_recommendation(
        tables["metrics"],
        tables["summary"],
        tables["pareto_front"],
        design=DESIGN,
        limits={"max_seconds": None, "min_accuracy": None},
        outputs={"table": folder / "tables" / "recommendation.csv", "text": folder / "recommendation.md"},
    )
    page.write_report(
        library,
        folder / "verdict.md",
        folder / "recommendation.md",
        [figures / f"{name}.vl.json" for name in FIGURES],
        [folder / "tables" / f"{name}.csv" for name in ("answer", "claims", "datasets", "summary", "effects", "cells")],
        design=DESIGN,
        catalogue={name: figure.plain() for name, figure in CATALOGUE.items()},
        configuration={"grid": {"seeds": list(DESIGN.seeds)}},
        citation=(ROOT / "CITATION.cff").read_text(),
        page=folder / "report.html",
    )
    errors = simulated.errors(folder / "of errors")
    outputs = {kind: folder / "errors" / f"ucm.{suffix}" for kind, suffix in (("page", "html"), ("table", "csv"))}
    error_analysis.write_error_analysis(**errors | {"outputs": outputs})
    return folder


def _write_tables(folder):
    """Write the tables of a simulated grid, and return their paths by name."""
    folder.mkdir()
    datasets = pd.DataFrame(
        {"dataset": name, "title": title, "images_found": 2100} for name, title in DESIGN.datasets.items()
    )
    tables = simulated.grid(datasets=DATASETS, seeds=3) | {"datasets": datasets}
    paths = {name: folder / f"{name}.csv" for name in tables}
    for name, table in tables.items():
        table.to_csv(paths[name], index=False)
    return paths


@pytest.mark.parametrize("name", FIGURES)
def test_figure_opens_offline_without_console_messages(name, results, reader):
    path = results / "figures" / f"{name}.html"
    one = reader()
    page = one.open(path)
    assert one.messages == []
    assert one.external_requests() == [path.as_uri()]
    assert len(page.locator("[role=graphics-document]").get_attribute("aria-label")) > 40
    assert page.locator("svg.marks path").count() > 10


@pytest.mark.parametrize("name", FIGURES)
def test_figure_of_a_single_cell_opens_without_console_messages(name, results, reader, tmp_path):
    cell = {"datasets": ("mine",), "models": ("resnet18",), "regimes": ("no-increase",), "seeds": 1}
    data = simulated.figure_data(simulated.grid(**cell), **cell)
    library = results / "figures" / "vega.js"
    render.plot_figure(name, CATALOGUE[name].plain(), data, library=library, folder=tmp_path)
    one = reader()
    one.open(tmp_path / f"{name}.html")
    assert one.messages == []


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark"), (1920, "light")])
def test_report_opens_offline_at_each_width_without_console_messages(width, scheme, results, reader):
    one = reader(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = one.open(results / "report.html")
    assert one.messages == []
    assert one.external_requests() == [(results / "report.html").as_uri()]
    assert page.locator("svg.marks").count() >= len(FIGURES)
    # wide charts and tables scroll separately, the page does not
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (1920, "light")])
def test_page_of_errors_shows_whole_images_offline_at_each_width(width, scheme, results, reader):
    path = results / "errors" / "ucm.html"
    one = reader(viewport={"width": width, "height": 900}, color_scheme=scheme)
    one.page.goto(path.as_uri())
    assert one.messages == []
    assert one.external_requests() == [path.as_uri()]
    assert one.page.evaluate("document.documentElement.scrollWidth") == width
    widths = one.page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert sorted(widths) == [*(5 * [30]), *(5 * [256])]
    files = one.page.locator(".gallery li > p").all_text_contents()
    assert files[:2] == ["nan/<i>photo</i> & 0.jpg", "null/<i>photo</i> & 1.jpg"]
    with one.page.expect_navigation():
        one.page.get_by_role("link", name="Report").click()
    assert one.page.url == (results / "report.html").as_uri()
    assert one.page.locator("#recommendation a[href='errors/ucm.html']").count() == 1


# axe takes a minute for the thousands of marks of the report, which are alike, so only one chart is checked
@pytest.mark.parametrize(
    ("path", "context"),
    [("report.html", {"exclude": [["svg.marks"]]}), ("figures/wall_time.html", None), ("errors/ucm.html", None)],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_names_and_roles_pass_axe(scheme, path, context, results, reader):
    page = reader(viewport={"width": 1280, "height": 900}, color_scheme=scheme).open(results / path)
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"], "resultTypes": ["violations"]}
    violations = axe.Axe().run(page, context=context, options=options).response["violations"]
    assert not violations, [(rule["id"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in violations]


@pytest.mark.parametrize(
    ("name", "switch", "option"),
    [
        ("fig4_efficiency", "chosen_time_basis", "latency"),
        ("fig5_accuracy", "chosen_resolution", "full"),
        ("pareto_front", "chosen_time_basis", "latency"),
        ("pareto_front", "chosen_stage", "sub-total"),
        ("effects", "chosen_stage", "sub-total"),
        ("learning_curves", "chosen_curve", "training_loss"),
        ("training_diagnostics", "chosen_stage", "sub-total"),
        ("throughput", "chosen_layers", "all"),
        ("lr_finder", "chosen_model", "resnet50"),
    ],
)
def test_switch_changes_the_chart_and_its_title(name, switch, option, results, reader):
    one = reader(viewport={"width": 1280, "height": 1400})
    page = one.open(results / "figures" / f"{name}.html")
    before = {script: page.evaluate(script) for script in (CHART, TITLE)}
    page.locator(f"select[name={switch}]").select_option(option)
    for script, value in before.items():
        page.wait_for_function(f"(before) => {script} !== before", arg=value)
    assert one.messages == []


def test_click_on_a_column_header_sorts_the_table(results, reader):
    page = reader(viewport={"width": 1280, "height": 900}).open(results / "report.html")
    table = page.locator("h3#table-times + p + .table table")

    def column():
        cells = table.locator("tbody tr td:nth-child(5)").all_text_contents()
        return [float(cell) for cell in cells]

    table.locator("th:nth-child(5) button").click()
    assert column() == sorted(column())
    table.locator("th:nth-child(5) button").click()
    assert column() == sorted(column(), reverse=True)
    assert len(set(column())) > 3
