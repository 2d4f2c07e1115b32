"""Which code a result depends on, so that a change reruns what it reaches and nothing else."""

import ast
import hashlib
import os
from functools import cache
from pathlib import Path

SCRIPTS = Path(__file__).parents[1]


@cache
def code_digest(script: str, *others: str) -> str:
    """Digest a rule's script and the modules of this package that it reaches by imports.

    Snakemake's own code trigger compares modification times, which a ``git checkout`` changes, and
    never sees imported modules. Each rule that computes carries this digest as a parameter instead.
    Python files count by their syntax tree without docstrings and comments, so that a change of
    wording makes no result stale.

    Parameters
    ----------
    script : str
        Name of a script in ``workflow/scripts``, without its ending.
    *others : str
        What it reaches but does not import: modules, which may import others, and files that it
        fills in, relative to ``workflow/scripts``.

    Returns
    -------
    str
        The first 16 hexadecimal digits of a SHA-256 over file names and contents.

    Raises
    ------
    FileNotFoundError
        When there is no such script or file.
    """
    digest = hashlib.sha256()
    for path in source_files(script, *others):
        digest.update(Path(os.path.relpath(path, SCRIPTS)).as_posix().encode())
        digest.update(_code(path.read_bytes()) if path.suffix == ".py" else path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _code(source: bytes) -> bytes:
    """Return Python code without docstrings, comments and layout."""
    return ast.unparse(_WithoutDocstrings().visit(ast.parse(source))).encode()


class _WithoutDocstrings(ast.NodeTransformer):
    """Remove docstrings, those of attributes too, and the `pass` that a docstring can replace."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node

    def visit_Pass(self, node: ast.Pass) -> None:  # noqa: ARG002  named by ast
        return None


def source_files(script: str, *others: str) -> list[Path]:
    """Return a script, other files, and every module of this package that they reach, sorted."""
    found: set[Path] = set()
    waiting = [SCRIPTS / f"{script}.py", *(SCRIPTS / other for other in others)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            modules = map(_file_of, _imported(path.read_bytes())) if path.suffix == ".py" else ()
            waiting += [module for module in modules if module.is_file()]
    return sorted(found)


@cache
def _imported(source: bytes) -> frozenset[str]:
    """Return the names of this package's modules, and of what is taken from them, that code imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in names if name.startswith("entr."))


def _file_of(module: str) -> Path:
    return SCRIPTS.joinpath(*module.split(".")).with_suffix(".py")
