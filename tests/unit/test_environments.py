"""The conda environment and the container install the packages of the lock file; building them needs registries."""

import re
import tomllib

import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

LOCKED = re.findall(r"^([a-z0-9._-]+==.*?) *\\$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def instructions():
    """Return the instructions of the container file, each as a list of words."""
    lines = (ROOT / "envs" / "Containerfile").read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def test_conda_environment_installs_the_locked_packages():
    dependencies = yaml.safe_load((ROOT / "envs" / "entr.yaml").read_text())["dependencies"]
    pip = next(dependency["pip"] for dependency in dependencies if isinstance(dependency, dict))
    assert pip == LOCKED, "run `make envs/entr.yaml`"
    assert all(Requirement(package) for package in pip)


def test_container_installs_the_lock_file_and_nothing_else():
    base, copy, run = instructions()
    assert base[0] == "FROM"
    assert copy == ["COPY", "requirements.lock", "/opt/entr/requirements.lock"]
    assert run[:5] == ["RUN", "python", "-m", "pip", "install"]
    assert "--require-hashes" in run
    assert run[-2:] == ["--requirement", copy[2]]
    assert [word for word in run[5:-1] if not word.startswith("--")] == []


def test_both_have_the_same_python_version_which_the_project_supports():
    conda = re.search(r"python=(\S+)", (ROOT / "envs" / "entr.yaml").read_text())[1]
    container = re.search(r"python:([\d.]+)", instructions()[0][1])[1]
    assert conda == container
    supported = re.search(r'requires-python = "(.*)"', (ROOT / "pyproject.toml").read_text())[1]
    assert f"{conda}.0" in SpecifierSet(supported)


def test_citation_and_changelog_state_the_version_of_the_project():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    release = re.search(r"^## \[(\d.*?)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["version"] == release[1] == version
    assert str(citation["date-released"]) == release[2]
