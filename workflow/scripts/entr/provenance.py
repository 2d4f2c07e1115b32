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

    Snakemake's own code trigger compares times, which a ``git checkout`` changes, and never
    sees imported modules. Each rule that computes carries this digest as a parameter instead.

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
        The first 16 hexadecimal digits of a SHA-256 over names and texts.

    Raises
    ------
    FileNotFoundError
        When there is no such script or file.
    """
    digest = hashlib.sha256()
    for path in source_files(script, *others):
        digest.update(Path(os.path.relpath(path, SCRIPTS)).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def source_files(script: str, *others: str) -> list[Path]:
    """Return a script, other files, and every module of this package that they reach, sorted."""
    found: set[Path] = set()
    waiting = [SCRIPTS / f"{script}.py", *(SCRIPTS / other for other in others)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            modules = map(_file_of, _imported(path)) if path.suffix == ".py" else ()
            waiting += [module for module in modules if module.is_file()]
    return sorted(found)


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.startswith("entr.")}


def _file_of(module: str) -> Path:
    return SCRIPTS.joinpath(*module.split(".")).with_suffix(".py")
