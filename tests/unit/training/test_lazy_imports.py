"""Lazy imports, and what the process of a cell imports before its first training step."""

import subprocess
import sys

import pytest

from entr.jobs import paths
from entr.training.lazy_imports import RARELY_USED


def run_python(program):
    """Run a program in a new process with the library on its path, and return its output."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=paths.SCRIPTS)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_training_imports_no_rarely_used_package():
    program = f"""
import sys
from entr.training.lazy_imports import lazy_imports
with lazy_imports():
    from entr.training.cell import train_cell
print(*(name for name in {RARELY_USED} if name in sys.modules))
"""
    assert run_python(program) == ""


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ("statistics.mean([1, 2, 3])", "2"),
        ("statistics.__name__", "statistics"),
        ("isinstance(statistics.NormalDist(), NormalDist)", "True"),
        ("types.new_class('Mine', (NormalDist,))(5).mean", "5.0"),
    ],
)
def test_placeholder_behaves_like_the_module_once_it_is_used(use, expected):
    program = f"""
import sys, types
from entr.training.lazy_imports import lazy_imports
sys.modules.pop("statistics", None)
with lazy_imports("statistics"):
    import statistics
    from statistics import NormalDist
assert "statistics" not in sys.modules
print({use})
"""
    assert run_python(program) == expected


def test_package_is_imported_as_usual_after_the_block():
    program = """
import sys
from entr.training.lazy_imports import lazy_imports
sys.modules.pop("statistics", None)
with lazy_imports("statistics"):
    import statistics as placeholder
import statistics
assert type(statistics) is type(sys) and statistics is not placeholder
print(statistics.median([3, 1, 2]))
"""
    assert run_python(program) == "2"


def test_package_that_is_not_installed_remains_an_import_error():
    program = """
from entr.training.lazy_imports import lazy_imports
with lazy_imports("no_such_package"):
    try:
        import no_such_package
    except ModuleNotFoundError as error:
        print(error.name)
"""
    assert run_python(program) == "no_such_package"
