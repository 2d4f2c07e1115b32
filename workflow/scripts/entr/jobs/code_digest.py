"""Digests of the code that a result depends on, so that a code change makes exactly the affected results stale."""

import ast
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
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
        digest.update(_analyse(content).code if path.suffix == ".py" else content)
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
    """Yield the modules of the library that a module uses, and the files that may be templates of it."""
    content, templates = path.read_bytes(), scripts.parent / TEMPLATES.name
    if path.suffix == ".py":
        source, modules = _analyse(content), _library(scripts)
        yield from (modules[name] for name in source.imported if name in modules)
        names = source.templates
    else:
        names = frozenset(name.decode() for name in INCLUDE.findall(content))
    yield from (templates / name for name in names)


@cache
def _library(scripts: Path) -> dict[str, Path]:
    """Return the files of the library by module name."""
    files = scripts.glob("entr/**/*.py")
    return {".".join(path.relative_to(scripts).with_suffix("").parts): path for path in files}


@dataclass(frozen=True)
class _Source:
    """The parts of a module that its digest depends on."""

    imported: frozenset[str]
    """Names of this package that it imports: modules, and their members."""
    templates: frozenset[str]
    code: bytes
    """The code without docstrings, comments and layout."""


@cache
def _analyse(source: bytes) -> _Source:
    tree = ast.parse(source)
    imported: set[str] = set()
    constants = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            constants.append(node.value)
    return _Source(
        frozenset(name for name in imported if name.startswith("entr.")),
        frozenset(value for value in constants if value.endswith(".j2")),
        ast.unparse(_WithoutDocstrings().visit(tree)).encode(),
    )


class _WithoutDocstrings(ast.NodeTransformer):
    """Removal of docstrings, including those of attributes, and of the `pass` that a docstring can replace."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_docstring = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_docstring else node

    def visit_Pass(self, node: ast.Pass) -> None:  # noqa: ARG002  named by ast
        return None
