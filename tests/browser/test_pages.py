"""The report and each figure in a real browser without a network, as a reader opens them."""

import shutil
from dataclasses import asdict

import pandas as pd
import pytest
import simulated
from conftest import ROOT

from entr import pages, recommend, report, verdict
from entr.figures import drawing
from entr.figures.gallery import GALLERY, SAMPLES
from entr.figures.results import Results

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run"]
DRAWN = [name for name in GALLERY if name != SAMPLES]
SEEN = (
    "document.querySelector('svg.marks').innerHTML",
    "[...document.querySelectorAll('svg.marks .role-title text')].map((e) => e.textContent).join(' ')",
)
STUDY = {
    "datasets": {"ucm": "UCM", "bees": "Bees"}, "stands_for": {"ucm": "", "bees": ""},
    "models": ["resnet18", "resnet50"], "regimes": list(simulated.REGIMES), "seeds": [0, 1, 2],
    "control": "no-increase", "basis": "training",
}  # fmt: skip

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a folder with the report and all figures of a simulated grid."""
    folder = tmp_path_factory.mktemp("results")
    tables = simulated.grid(datasets=tuple(STUDY["datasets"]), seeds=3)
    images = simulated.images(folder / "images", STUDY["datasets"])
    described = pd.DataFrame(
        [{"dataset": name, "title": title, "images_found": 2100} for name, title in STUDY["datasets"].items()]
    )
    for name, table in (tables | {"datasets": described}).items():
        (folder / "tables").mkdir(exist_ok=True)
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    library, path = folder / "figures" / "vega.js", {name: folder / "tables" / f"{name}.csv" for name in tables}
    pages.bundle(library)
    shown = {name: STUDY[name] for name in ("datasets", "models", "regimes", "control", "basis")}
    plans = simulated.plans(STUDY["datasets"], STUDY["regimes"])
    for name in DRAWN:
        of = Results.read([path[table] for table in GALLERY[name].tables], plans=plans, images=images, **shown)
        drawing.draw(name, asdict(GALLERY[name]), of, library=library, folder=folder / "figures")
    judged = {name: path[name] for name in ("cells", "efficiency", "effects", "runs")}
    written = {"claims_table": folder / "tables" / "claims.csv", "verdict": folder / "verdict.md"}
    verdict.write(**judged, settings=STUDY | {"folds": 10}, **written)
    chosen = {"table": folder / "tables" / "recommendation.csv", "text": folder / "recommendation.md"}
    limits = {"max_seconds": None, "min_accuracy": None}
    recommend.write(path["cells"], path["summary"], settings=STUDY | {"folds": 10}, limits=limits, **chosen)
    report.write(
        folder / "verdict.md",
        [folder / "figures" / f"{name}.vl.json" for name in DRAWN],
        [folder / "tables" / f"{name}.csv" for name in ("datasets", "summary", "effects", "runs")],
        recommendation=folder / "recommendation.md",
        gallery={name: asdict(figure) for name, figure in GALLERY.items()},
        study=STUDY,
        configuration={"grid": {"seeds": [0, 1, 2]}},
        citation=(ROOT / "CITATION.cff").read_text(),
        library=library,
        page=folder / "report.html",
    )
    return folder


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


class Reader:
    """Opens pages without a network, and keeps what the console says and what is asked for."""

    def __init__(self, browser, **options):
        self.context = browser.new_context(offline=True, **options)
        self.page = self.context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path):
        self.page.goto(path.as_uri())
        whole = "document.documentElement.dataset.drawn === 'all'" if path.name == "report.html" else "true"
        self.page.wait_for_function(f"{whole} && document.querySelector('svg.marks') !== null")
        return self.page


@pytest.fixture
def reader(browser):
    opened = []

    def new(**options):
        opened.append(Reader(browser, **options))
        return opened[-1]

    yield new
    for one in opened:
        one.context.close()


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_opens_without_a_network_and_without_complaint(name, results, reader):
    path = results / "figures" / f"{name}.html"
    one = reader()
    page = one.open(path)
    assert one.said == []
    assert [url for url in one.asked if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
    assert len(page.locator("[role=graphics-document]").get_attribute("aria-label")) > 40
    assert page.locator("svg.marks path").count() > 10


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_of_one_replicate_of_one_regime_opens_without_complaint(name, results, reader, tmp_path):
    tables = simulated.grid(datasets=("mine",), models=("resnet18",), regimes=("no-increase",), seeds=1)
    shown = {"datasets": {"mine": "Mine"}, "models": ["resnet18"], "regimes": ["no-increase"]}
    of = Results(
        tables, **shown, control="no-increase", basis="training", plans=simulated.plans(["mine"], ["no-increase"])
    )
    drawing.draw(name, asdict(GALLERY[name]), of, library=results / "figures" / "vega.js", folder=tmp_path)
    one = reader()
    one.open(tmp_path / f"{name}.html")
    assert one.said == []


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark"), (1920, "light")])
def test_the_report_opens_at_each_width_without_a_network_and_without_complaint(width, scheme, results, reader):
    one = reader(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = one.open(results / "report.html")
    assert one.said == []
    assert [url for url in one.asked if not url.startswith(("data:", "blob:"))] == [(results / "report.html").as_uri()]
    assert page.locator("svg.marks").count() >= len(DRAWN)
    # wide charts and tables scroll by themselves, the page does not
    assert page.evaluate("document.documentElement.scrollWidth") == width


# thousands of marks take axe a minute, and are alike: those of one chart are looked at
@pytest.mark.parametrize(
    ("path", "where"), [("report.html", {"exclude": [["svg.marks"]]}), ("figures/time.html", None)]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_names_and_roles_pass_axe(scheme, path, where, results, reader):
    page = reader(viewport={"width": 1280, "height": 900}, color_scheme=scheme).open(results / path)
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"], "resultTypes": ["violations"]}
    found = axe.Axe().run(page, context=where, options=rules).response["violations"]
    assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]


@pytest.mark.parametrize(
    ("name", "switch", "option"),
    [
        ("fig4", "chosen_basis", "forward"),
        ("fig5", "chosen_at", "full"),
        ("front", "chosen_basis", "latency"),
        ("front", "chosen_stage", "sub-total"),
        ("effects", "chosen_stage", "sub-total"),
        ("learning", "chosen_curve", "training_loss"),
        ("mechanism", "chosen_stage", "sub-total"),
        ("speed", "chosen_layers", "all"),
        ("finder", "chosen_model", "resnet50"),
    ],
)
def test_a_switch_changes_what_is_drawn_and_said(name, switch, option, results, reader):
    one = reader(viewport={"width": 1280, "height": 1400})
    page = one.open(results / "figures" / f"{name}.html")
    before = [page.evaluate(script) for script in SEEN]
    page.locator(f"select[name={switch}]").select_option(option)
    for script, was in zip(SEEN, before, strict=True):
        page.wait_for_function(f"(was) => {script} !== was", arg=was)
    assert one.said == []


def test_a_click_on_a_head_sorts_the_table(results, reader):
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
