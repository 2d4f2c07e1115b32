"""The directions of imports between packages, as documented in ``entr/__init__.py``."""

import ast
import re

import pytest

import entr
from entr.jobs.code_digest import source_files
from entr.jobs.paths import PACKAGE

ROW = re.compile(r"^\| (\w+) \| .* \|([a-z ]*)\|$", re.MULTILINE)
ALLOWED = {name: set(packages.split()) for name, packages in ROW.findall(entr.__doc__) if name != "package"}
HEAVY = {"torch", "torchvision", "fastai", "timm", "onnx"}


def imported_by(path):
    """Yield the full names of all modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import, which code digests do not follow"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_map_lists_every_package():
    assert set(ALLOWED) == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


@pytest.mark.parametrize("package", ALLOWED)
def test_package_imports_only_what_the_map_allows(package):
    names = {name for path in (PACKAGE / package).rglob("*.py") for name in imported_by(path)}
    imported = {name.split(".")[1] for name in names if name.startswith("entr.")}
    assert imported - {package} <= ALLOWED[package]


def test_packages_are_ordered_from_the_bottom_up():
    order = list(ALLOWED)
    for package, imported in ALLOWED.items():
        assert imported <= set(order[: order.index(package)]), package


@pytest.mark.parametrize("package", ["", *ALLOWED, "data/sources"])
def test_package_files_contain_only_a_docstring(package):
    """Code digests ignore them, because an import of a module runs them without naming them."""
    (statement,) = ast.parse((PACKAGE / package / "__init__.py").read_text(encoding="utf-8")).body
    assert isinstance(statement, ast.Expr)


@pytest.mark.parametrize(
    "script",
    [
        "aggregate_metrics",
        "aggregate_histories",
        "estimate_effects",
        "estimate_fronts",
        "measure_time_to_accuracy",
        "evaluate_claims",
        "recommend",
        "plot_figure",
        "plot_sample_images",
        "render_report",
        "progress",
        "record_provenance",
        "compare_runs",
        "ro_crate",
        "paper",
        "web_page",
        "fetch_onnxruntime_web",
    ],
)
def test_script_for_tables_figures_and_reports_does_not_import_torch(script):
    modules = [path for path in source_files(script) if path.suffix == ".py"]
    heavy = {path.name: name for path in modules for name in imported_by(path) if name.split(".")[0] in HEAVY}
    assert heavy == {}
