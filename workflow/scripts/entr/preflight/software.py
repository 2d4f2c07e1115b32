"""The Python version, and the installed packages compared with the lock file."""

import platform
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from entr.jobs.paths import REPOSITORY
from entr.preflight.findings import Finding

LISTED = 4
"""Maximum number of packages that are listed."""
FIRST = ("torch", "torchvision", "fastai", "timm", "numpy", "snakemake")
"""Packages that affect results most; they are listed first."""


def check_python(project: Path = REPOSITORY / "pyproject.toml") -> Finding:
    """Compare the Python version with the versions that the project supports."""
    found = platform.python_version()
    # a deployment of the workflow may consist of its code only
    metadata = tomllib.loads(project.read_text(encoding="utf-8"))["project"] if project.exists() else {}
    supported = SpecifierSet(metadata.get("requires-python", ""))
    if supported.contains(found, prereleases=True):
        return Finding("Python", found)
    return Finding(
        "Python",
        f"{found}, but ENTR needs {supported}",
        "problem",
        "delete .venv and run `make install PYTHON=python3.12`, or another supported version",
    )


def check_packages(lock: Path = REPOSITORY / "requirements.lock") -> Finding:
    """Compare the installed packages with the lock file; other versions may give other results."""
    if not lock.exists():
        return Finding("packages", f"not compared, because {lock} is missing")
    lines = [line.rstrip(" \\") for line in lock.read_text(encoding="utf-8").splitlines() if line[:1].isalnum()]
    locked = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate()]
    different = {one.name: difference for one in locked if (difference := _difference(one))}
    if not different:
        return Finding("packages", f"{len(locked)}, as in {lock.name}")
    names = sorted(different, key=lambda name: (name not in FIRST, name))
    listed = ", ".join(different[name] for name in names[:LISTED]) + (" …" if len(names) > LISTED else "")
    return Finding(
        "packages",
        f"{len(names)} of {len(locked)} differ from {lock.name}: {listed}",
        "warning",
        "run `make install`, which installs the locked versions",
    )


def _difference(locked: Requirement) -> str:
    """Return in which version a package is installed, or an empty string if it is the locked one."""
    try:
        installed = version(locked.name)
    except PackageNotFoundError:
        return f"{locked.name} is missing"
    # a local version, such as 2.13.0+cpu, satisfies ==2.13.0
    if locked.specifier.contains(installed, prereleases=True):
        return ""
    return f"{locked.name} {installed} ({locked.specifier})"
