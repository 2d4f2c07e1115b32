"""Digests of the code that a result depends on, so that a code change makes exactly the affected results stale."""

import ast
import hashlib
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from entr.jobs.paths import SCRIPTS, TEMPLATES

INCLUDE = re.compile(rb"""{%-?\s*(?:include|extends|import|from)\s+["']([^"']+)["']""")
"""A statement by which a Jinja template refers to another file."""


def code_digest(script: str, *others: str, scripts: Path = SCRIPTS) -> str:
    """Digest the script of a rule with all modules of this package and all templates that it uses.

    Snakemake's own code trigger compares modification times, which ``git checkout`` changes, and ignores imported
    modules. Therefore each rule that computes results has this digest as a parameter. Python files are digested as
    syntax trees without docstrings and comments, so that rewording them makes no result stale.

    Parameters
    ----------
    script : str
        Name of a script in ``workflow/scripts``, without its suffix.
    *others : str
        Modules that the script loads without an import statement, relative to ``workflow/scripts``.
    scripts : path
        The directory of the scripts, with the templates in ``report`` beside it.

    Returns
    -------
    str
        The first 16 hexadecimal digits of a SHA-256 over file names and contents.

    Raises
    ------
    FileNotFoundError
        If the script or one of the others does not exist.
    """
    digest = hashlib.sha256()
    for path in source_files(script, *others, scripts=scripts):
        content = path.read_bytes()
        digest.update(Path(os.path.relpath(path, scripts)).as_posix().encode())
        digest.update(_code(content) if path.suffix == ".py" else content)
    return digest.hexdigest()[:16]


def source_files(script: str, *others: str, scripts: Path = SCRIPTS) -> list[Path]:
    """Return a script, the others, and every module and template that they use, directly or indirectly, sorted.

    Modules are found by import statements, templates by string constants that end in ``.j2`` and by the ``include``
    statements of templates.
    """
    files: set[Path] = set()
    pending = [scripts / f"{script}.py", *(scripts / other for other in others)]
    while pending:
        path = pending.pop()
        if path not in files:
            files.add(path)
            pending += [reference for reference in _references(path, scripts) if reference.is_file()]
    return sorted(files)


def _references(path: Path, scripts: Path) -> Iterator[Path]:
    """Yield the files that a module or template may refer to, whether they exist or not."""
    content, templates = path.read_bytes(), scripts.parent / TEMPLATES.name
    if path.suffix == ".py":
        for module in _imported_modules(content):
            yield scripts.joinpath(*module.split(".")).with_suffix(".py")
        for name in _template_names(content):
            yield templates / name
    else:
        for name in INCLUDE.findall(content):
            yield templates / name.decode()


@cache
def _imported_modules(source: bytes) -> frozenset[str]:
    """Return the names of this package that code imports: modules, and their members."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in names if name.startswith("entr."))


@cache
def _template_names(source: bytes) -> frozenset[str]:
    constants = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return frozenset(value for value in constants if isinstance(value, str) and value.endswith(".j2"))


@cache
def _code(source: bytes) -> bytes:
    """Return Python code without docstrings, comments and layout."""
    return ast.unparse(_WithoutDocstrings().visit(ast.parse(source))).encode()


class _WithoutDocstrings(ast.NodeTransformer):
    """Removal of docstrings, including those of attributes, and of the `pass` that a docstring can replace."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_docstring = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_docstring else node

    def visit_Pass(self, node: ast.Pass) -> None:  # noqa: ARG002  named by ast
        return None
