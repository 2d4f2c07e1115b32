"""Fixtures: small real images, made once per session, and running the workflow as a user does."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import npm_package
import pytest
import server as real_server
from hypothesis import HealthCheck, settings

from entr.config.schema import Images
from entr.data import downscale, split
from entr.data.pack import pack_images
from entr.data.sources import synthetic_micrographs

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"

# no time limits, and the same examples on every machine
settings.register_profile(
    "entr",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("entr")


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """Directory with ten rendered images of each of the seven classes."""
    folder = tmp_path_factory.mktemp("originals")
    synthetic_micrographs.render_dataset(folder, 10, seed=0, processes=2)
    return folder


@pytest.fixture(scope="session")
def dataset(originals, tmp_path_factory):
    """Directory with the manifest, the packed images and the split of seed 0."""
    folder = tmp_path_factory.mktemp("dataset")
    downscale.downscale_dataset(
        originals, Images(max_side=64).model_dump(), processes=2, **outputs_of_downscale(folder)
    )
    pack_images(folder / "images", folder / "manifest.csv", folder / "pixels.npy")
    split.split_dataset(folder / "manifest.csv", folder / "split.csv", seed=0, folds=5)
    return folder


@pytest.fixture(scope="session")
def exported(dataset, tmp_path_factory):
    """An exported model; see `train_and_export`."""
    import exported_model  # imports torch, which few tests need

    return exported_model.train_and_export(dataset, tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def onnxruntime_web():
    """Files of ONNX Runtime Web, by kind; skips the test if npm cannot fetch them."""
    return npm_package.onnxruntime_web()


def outputs_of_downscale(folder):
    """Return the files that downscaling writes, named as in the rule."""
    tables = {name: folder / f"{name}.csv" for name in ("manifest", "rejected", "duplicates")}
    return {"images": folder / "images"} | tables


@pytest.fixture
def server():
    """A real HTTP server on this machine, in place of the internet."""
    with real_server.running() as running:
        yield running


def copy_workflow(folder):
    """Copy the workflow to a directory in which it may be edited."""
    folder.mkdir()
    for name in ("config", "profiles", "workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "CITATION.cff"):
        shutil.copy2(ROOT / name, folder)


def run_snakemake(snakefile, directory, *options, check=True, cwd=None, **environment):
    """Run snakemake as a user does, and return the finished process with its whole output."""
    program = shutil.which("snakemake", path=Path(sys.executable).parent)
    command = [program, "--snakefile", snakefile, "--directory", directory, *options]
    environment = os.environ | {"XDG_CACHE_HOME": str(Path(directory, ".cache"))} | environment
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )
    done.output = done.stdout + done.stderr
    assert not check or done.returncode == 0, done.output
    return done


@pytest.fixture
def snakemake(tmp_path):
    """Function that runs snakemake on this repository, with results in a temporary directory."""
    return partial(run_snakemake, ROOT / "Snakefile", tmp_path)


@pytest.fixture
def shared_data():
    """Directory of real datasets next to the checkout; skips the test if there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"no real datasets next to the checkout: {SHARED} is missing")
    return SHARED
