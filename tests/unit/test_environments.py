"""Environments and the lock name the same packages; building them needs registries of images or of conda."""

import re

import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

LOCKED = re.findall(r"^([a-z0-9._-]+==.*?) *\\$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def instructions():
    """Return the instructions of the container description, each with its words."""
    lines = (ROOT / "envs" / "Containerfile").read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def test_conda_installs_what_is_locked():
    found = yaml.safe_load((ROOT / "envs" / "entr.yaml").read_text())["dependencies"]
    pip = next(one["pip"] for one in found if isinstance(one, dict))
    assert pip == LOCKED
    assert all(Requirement(one) for one in pip)


def test_the_container_installs_the_lock_and_nothing_else():
    base, copy, run = instructions()
    assert base[0] == "FROM"
    assert copy == ["COPY", "requirements.lock", "/opt/entr/requirements.lock"]
    assert run[:5] == ["RUN", "python", "-m", "pip", "install"]
    assert "--require-hashes" in run
    assert run[-2:] == ["--requirement", copy[2]]
    assert [word for word in run[5:-1] if not word.startswith("--")] == []


def test_both_have_one_python_which_the_project_takes():
    conda = re.search(r"python=(\S+)", (ROOT / "envs" / "entr.yaml").read_text())[1]
    container = re.search(r"python:([\d.]+)", instructions()[0][1])[1]
    assert conda == container
    wanted = re.search(r'requires-python = "(.*)"', (ROOT / "pyproject.toml").read_text())[1]
    assert f"{conda}.0" in SpecifierSet(wanted)
