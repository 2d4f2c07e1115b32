"""A real browser that is offline, as a reader opens pages."""

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


class Reader:
    """Opens pages offline, and records console messages and requests."""

    def __init__(self, browser, **options):
        self.context = browser.new_context(offline=True, **options)
        self.page = self.context.new_page()
        self.messages, self.requests = [], []
        self.page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def goto(self, path):
        self.page.goto(path.as_uri())
        return self.page

    def open(self, path):
        """Open a page, and wait until its figures are drawn, if it has any."""
        self.goto(path)
        if path.parent.name == "errors":
            return self.page
        drawn = "document.documentElement.dataset.drawn === 'all'" if path.name == "report.html" else "true"
        self.page.wait_for_function(f"{drawn} && document.querySelector('svg.marks') !== null")
        return self.page

    def external_requests(self):
        return [url for url in self.requests if not url.startswith(("data:", "blob:"))]


@pytest.fixture
def reader(browser):
    readers = []

    def create(**options):
        readers.append(Reader(browser, **options))
        return readers[-1]

    yield create
    for one in readers:
        one.context.close()
