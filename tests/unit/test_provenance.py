import ast
import json
import re
import subprocess
import sys

import pytest

from entr import provenance

LIBRARY = provenance.SCRIPTS / "entr"
SCRIPTS = sorted(path.stem for path in provenance.SCRIPTS.glob("*.py"))


def reached(script):
    """Name the modules of the library that a script reaches, as Python does within it."""
    modules = [path for path in provenance.source_files(script) if path.is_relative_to(provenance.SCRIPTS / "entr")]
    names = [path.relative_to(provenance.SCRIPTS / "entr").with_suffix("") for path in modules]
    return {".".join(name.parts) for name in names}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    for path in (*provenance.SCRIPTS.glob("*.py"), *LIBRARY.rglob("*.py")):
        target = tmp_path / path.relative_to(provenance.SCRIPTS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    monkeypatch.setattr(provenance, "SCRIPTS", tmp_path)
    provenance.code_digest.cache_clear()
    yield tmp_path
    provenance.code_digest.cache_clear()


def test_the_modules_found_are_those_that_python_imports():
    """In one process, which forgets our modules after each script and keeps the heavy ones."""
    program = """
import ast, json, sys
found = {}
for script in sys.argv[1:]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "entr"]:
        del sys.modules[name]
    nodes = ast.parse(open(f"{script}.py").read()).body
    exec("\\n".join(ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))))
    modules = [name for name, module in sys.modules.items() if not hasattr(module, "__path__")]
    found[script] = [name.removeprefix("entr.") for name in modules if name.startswith("entr.")]
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *SCRIPTS], capture_output=True, text=True, check=True, cwd=provenance.SCRIPTS
    )
    imported = json.loads(done.stdout)
    assert {script: reached(script) for script in SCRIPTS} == {script: set(imported[script]) for script in SCRIPTS}


def test_touching_changes_no_digest_and_editing_changes_those_that_reach_the_module(copy):
    before = {script: provenance.code_digest(script) for script in SCRIPTS}
    provenance.code_digest.cache_clear()
    for path in copy.rglob("*.py"):
        path.touch()
    assert {script: provenance.code_digest(script) for script in SCRIPTS} == before

    provenance.code_digest.cache_clear()
    (copy / "entr" / "pixels.py").write_text((copy / "entr" / "pixels.py").read_text() + "\nX = 1\n")
    changed = {script for script in SCRIPTS if provenance.code_digest(script) != before[script]}
    # neither naming new images nor an estimate is a result of the grid
    assert changed == {"train", "classify", "estimate"}


def test_wording_changes_no_digest_and_a_constant_does(copy):
    before = {script: provenance.code_digest(script) for script in SCRIPTS}
    provenance.code_digest.cache_clear()
    for path in copy.rglob("*.py"):
        path.write_text(reworded(path.read_text()))
    assert {script: provenance.code_digest(script) for script in SCRIPTS} == before
    for path in sorted(LIBRARY.rglob("*.py")):
        provenance.code_digest.cache_clear()
        module = copy / "entr" / path.relative_to(LIBRARY)
        original = module.read_text()
        reaching = {script for script in SCRIPTS if module in provenance.source_files(script)}
        module.write_text(original + "\nADDED = 1\n")
        changed = {script for script in SCRIPTS if provenance.code_digest(script) != before[script]}
        module.write_text(original)
        assert changed == reaching, path


def reworded(code):
    """Change every docstring and drop every comment, then put a comment and a blank line between statements."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = "Other words."
    return "\n# a comment\n\n".join(map(ast.unparse, tree.body)) + "\n"


def test_no_result_depends_on_how_the_configuration_is_checked():
    assert not [script for script in SCRIPTS if {"config", "reference"} & reached(script)]


def test_every_rule_with_a_script_carries_the_digest_of_that_script():
    rules = "".join(path.read_text() for path in (provenance.SCRIPTS.parent / "rules").glob("*.smk"))
    blocks = re.split(r"^rule ", rules, flags=re.MULTILINE)[1:]
    for block in blocks:
        script = re.search(r'"\.\./scripts/(\w+)\.py"', block)
        if "    output:" not in block:
            continue  # runs whenever it is asked for
        assert script, block
        # a figure's is made for the figure, see below
        digest = "code=code_of_figure" if script[1] == "draw" else f'code=code_digest("{script[1]}"'
        assert digest in block


@pytest.mark.parametrize("other", ["entr/figures/outcomes.py", "../report/style.css"])
def test_what_is_reached_without_an_import_counts_when_it_is_named(other):
    alone, named = provenance.source_files("draw"), provenance.source_files("draw", other)
    assert (provenance.SCRIPTS / other) in named
    assert set(alone) < set(named)
    assert provenance.code_digest("draw", other) != provenance.code_digest("draw")


def test_a_figure_depends_on_the_module_of_its_own_subject():
    reached = {path.stem for path in provenance.source_files("draw", "entr/figures/outcomes.py")}
    assert {"outcomes", "panels", "results", "charts", "pages"} <= reached
    assert not {"paths", "costs", "gallery"} & reached
