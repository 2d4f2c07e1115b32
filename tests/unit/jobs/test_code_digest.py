import ast
import json
import shutil
import subprocess
import sys

import pytest

from entr.jobs import paths
from entr.jobs.code_digest import code_digest, source_files

SCRIPTS = sorted(path.stem for path in paths.SCRIPTS.glob("*.py"))
PLOTTED = ("plot_figure", "entr/figures/confusion_matrices.py")


def modules_of(script, *others):
    """Return the names of the modules of the library that a script uses."""
    files = [path for path in source_files(script, *others) if path.is_relative_to(paths.PACKAGE)]
    return {".".join(path.relative_to(paths.PACKAGE).with_suffix("").parts) for path in files}


@pytest.fixture
def scripts(tmp_path):
    """A copy of the scripts, the library and the templates."""
    for path in (*paths.SCRIPTS.rglob("*.py"), *paths.TEMPLATES.iterdir()):
        target = tmp_path / path.relative_to(paths.SCRIPTS.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return tmp_path / paths.SCRIPTS.name


def digests(scripts):
    of_figure = {"figure": code_digest(*PLOTTED, scripts=scripts)}
    return {script: code_digest(script, scripts=scripts) for script in SCRIPTS} | of_figure


def users_of(path, scripts):
    """Return the scripts that use a file."""
    users = {script for script in SCRIPTS if path in source_files(script, scripts=scripts)}
    return users | ({"figure"} if path in source_files(*PLOTTED, scripts=scripts) else set())


def changed(before, scripts):
    return {name for name, digest in digests(scripts).items() if digest != before[name]}


def test_modules_of_a_script_are_those_that_python_imports():
    """All scripts run in one process that forgets the library after each, but not the heavy packages."""
    program = """
import ast, json, sys
found = {}
for script in sys.argv[1:]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "entr"]:
        del sys.modules[name]
    nodes = ast.walk(ast.parse(open(f"{script}.py").read()))
    exec("\\n".join(ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))))
    modules = [name for name, module in sys.modules.items() if not hasattr(module, "__path__")]
    found[script] = [name.removeprefix("entr.") for name in modules if name.startswith("entr.")]
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *SCRIPTS], capture_output=True, text=True, check=True, cwd=paths.SCRIPTS
    )
    imported = json.loads(done.stdout)
    assert {script: modules_of(script) for script in SCRIPTS} == {script: set(imported[script]) for script in SCRIPTS}


def test_modification_times_and_wording_change_no_digest(scripts):
    before = digests(scripts)
    for path in scripts.rglob("*.py"):
        path.touch()
    assert digests(scripts) == before
    for path in scripts.rglob("*.py"):
        path.write_text(reworded(path.read_text()))
    assert digests(scripts) == before


def reworded(code):
    """Change every docstring, remove every comment, and put a comment and blank lines between statements."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = "Other words."
    return "\n# a comment\n\n".join(map(ast.unparse, tree.body)) + "\n"


def test_changed_module_changes_the_digests_of_the_scripts_that_use_it(scripts):
    before = digests(scripts)
    for package in (scripts / "entr").iterdir():
        path = min(package.glob("[a-z]*.py"), default=package)
        original = path.read_text()
        path.write_text(original + "\nADDED = 1\n")
        assert changed(before, scripts) == users_of(path, scripts), path
        path.write_text(original)


def test_change_to_training_retrains_cells_but_makes_no_images_or_tables_stale(scripts):
    before = digests(scripts)
    path = scripts / "entr" / "training" / "batches.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    assert changed(before, scripts) == {"train", "estimate_runtime", "fit_budget", "fit_epochs"}


@pytest.mark.parametrize(
    ("module", "users"),
    [
        ("figures/confusion_matrices", {"figure"}),
        # a further figure must neither redraw the others nor fit epochs anew
        ("figures/catalogue", {"estimate_runtime", "fit_budget", "paper", "progress", "render_report"}),
        ("data/sources/archive", {"fetch_archive"}),
        ("data/sources/url_list", {"check_environment", "fetch_url_list"}),
        ("analysis/histories", {"aggregate_histories", "analyse_errors", "progress"}),
        ("analysis/pareto_front", {"estimate_fronts", "progress"}),
        ("benchmark/runtime_estimate", {"estimate_runtime", "fit_budget"}),
        ("benchmark/unit_times", {"estimate_runtime", "fit_budget", "fit_epochs"}),
        ("deploy/export", {"export_model"}),
        ("deploy/web_page", {"web_page"}),
        ("report/error_analysis", {"analyse_errors"}),
        ("report/provenance", {"compare_runs", "record_provenance", "ro_crate"}),
        ("report/recommendation", {"recommend"}),
        ("report/run_comparison", {"compare_runs"}),
        ("report/verdict", {"evaluate_claims", "paper", "progress"}),
        ("config_reference", set()),
    ],
)
def test_module_is_used_by_no_other_scripts_than_expected(scripts, module, users):
    assert users_of(scripts / "entr" / f"{module}.py", scripts) == users


def test_changed_template_changes_the_digests_of_the_scripts_that_use_it(scripts):
    before = digests(scripts)
    for path in sorted((scripts.parent / "report").iterdir()):
        original = path.read_bytes()
        path.write_bytes(original + b"\n")
        assert changed(before, scripts) == users_of(path, scripts), path
        path.write_bytes(original)


def test_templates_are_found_by_name_and_by_include(scripts):
    report = scripts.parent / "report"
    assert users_of(report / "report.html.j2", scripts) == {"render_report"}
    assert users_of(report / "sort.js", scripts) == {"render_report"}
    assert {"figure", "plot_figure", "plot_sample_images"} <= users_of(report / "figure.html.j2", scripts)
    assert {"figure", "plot_figure", "render_report"} <= users_of(report / "style.css", scripts)
    assert users_of(report / "prepare.js", scripts) == {"web_page"}
    assert users_of(report / "workflow.rst", scripts) == set()


def test_no_result_depends_on_the_validation_of_the_configuration_or_on_documentation():
    validation = {"config.schema", "config.validation", "config.renamed_keys", "config.model_names"}
    documentation = {"config_reference", "metrics.data_dictionary"}
    assert all(
        paths.PACKAGE.joinpath(*name.split(".")).with_suffix(".py").exists() for name in validation | documentation
    )
    # the check of the machine has no result
    assert {script for script in SCRIPTS if (validation | documentation) & modules_of(script)} == {"check_environment"}


def test_figure_depends_only_on_the_module_of_its_own_subject():
    modules = modules_of(*PLOTTED)
    assert {"figures.confusion_matrices", "figures.figure_data", "figures.charts"} <= modules
    assert not {"figures.accuracy_time", "figures.effects", "figures.wall_time"} & modules
    assert code_digest(*PLOTTED) != code_digest("plot_figure")


def test_unknown_script_is_an_error():
    with pytest.raises(FileNotFoundError):
        code_digest("trian")
