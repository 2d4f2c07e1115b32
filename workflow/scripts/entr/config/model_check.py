"""Check before any job starts that the models of a grid accept several image sizes."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from entr.jobs.errors import EntrError
from entr.jobs.files import atomic_write
from entr.jobs.paths import SCRIPTS

CONVOLUTIONAL = re.compile(
    r"(tf_|legacy_|test_)?(resnet|resnext|wide_resnet|densenet|vgg|squeezenet|shufflenet|mnasnet|mixnet|mobilenet|"
    r"efficientnet|regnet|convnext_(tiny|small|base|large)$|googlenet|inception_v3)"
)
"""Families of models that are known to accept several image sizes, so that building them to find out is not needed."""
RECORD = Path(".snakemake", "entr_models.json")
"""What was found out about other models, by name and versions of the packages."""
CHECK = """\
import json, sys
from entr.jobs.errors import EntrError
from entr.models.architectures import build_model

problems = {}
for name in sys.argv[1:]:
    try:
        build_model(name, 2)
        problems[name] = ""
    except EntrError as error:
        problems[name] = str(error)
print(json.dumps(problems))
"""


def check_models(names: Iterable[str], record: Path = RECORD) -> None:
    """Raise an error if a model cannot be trained at several image sizes.

    Unfamiliar models are built in another process, which takes some seconds, and the results are recorded.
    Nothing is checked if torch is not installed here, as where jobs run in environments of their own.

    Parameters
    ----------
    names : iterable of str
        Models of torchvision or timm.
    record : path
        JSON file of earlier results.

    Raises
    ------
    EntrError
        With the reason and the remedy.
    """
    unfamiliar = [name for name in names if not CONVOLUTIONAL.match(name)]
    if not unfamiliar or importlib.util.find_spec("torch") is None:
        return
    versions = " ".join(f"{package} {_version(package)}" for package in ("torch", "torchvision", "timm"))
    known = _read(record)
    new = [name for name in unfamiliar if f"{name}, {versions}" not in known]
    if new:
        known |= {f"{name}, {versions}": problem for name, problem in _build(new).items()}
        with atomic_write(record) as file:
            json.dump(known, file, indent=2)
    problems = [problem for name in unfamiliar if (problem := known[f"{name}, {versions}"])]
    if problems:
        raise EntrError("; ".join(problems))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _read(record: Path) -> dict[str, str]:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _build(names: Iterable[str]) -> dict[str, str]:
    """Return the problem of each model, or an empty string."""
    path = os.pathsep.join([str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", CHECK, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  no shell
    if done.returncode:
        raise EntrError(f"grid.models: {', '.join(names)} could not be checked: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])
