"""Small real images, made once a session, and ways to run the workflow as a user does."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import server as real_server
from hypothesis import HealthCheck, settings

from entr import images, micrographs, splits
from entr.config import Images

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"

# no clock decides, and a change is judged by the same examples on every machine
settings.register_profile(
    "entr",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("entr")


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """Ten real renderings of each of the seven classes."""
    folder = tmp_path_factory.mktemp("originals")
    micrographs.write(folder, 10, seed=0, processes=2)
    return folder


@pytest.fixture(scope="session")
def dataset(originals, tmp_path_factory):
    """A folder with the manifest, pixels and the split of seed 0 of the small images."""
    folder = tmp_path_factory.mktemp("dataset")
    images.downscale(originals, Images(max_size=64).model_dump(), processes=2, **outputs_of_downscale(folder))
    images.pack(folder / "images", folder / "manifest.csv", folder / "pixels.npy")
    splits.split(folder / "manifest.csv", folder / "split.csv", seed=0, folds=5)
    return folder


def outputs_of_downscale(folder):
    """Name the files that downscaling leaves, as the rule does."""
    return {"images": folder / "images"} | {
        name: folder / f"{file}.csv"
        for name, file in {"manifest": "manifest", "rejected": "rejected", "pairs": "duplicates"}.items()
    }


@pytest.fixture
def server():
    """A real HTTP server on this machine; stands for the internet, which is out of reach here."""
    with real_server.running() as running:
        yield running


def run_snakemake(snakefile, directory, *options, check=True, **environment):
    """Run snakemake as a user does and return the finished process, with its whole output."""
    program = shutil.which("snakemake", path=Path(sys.executable).parent)
    command = [program, "--snakefile", snakefile, "--directory", directory, *options]
    environment = os.environ | {"XDG_CACHE_HOME": str(Path(directory, ".cache"))} | environment
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)
    done.output = done.stdout + done.stderr
    assert not check or done.returncode == 0, done.output
    return done


@pytest.fixture
def snakemake(tmp_path):
    """Run snakemake on this repository, with results in a folder of the test's own."""
    return partial(run_snakemake, ROOT / "Snakefile", tmp_path)


@pytest.fixture
def shared_data():
    """The real data sets beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data sets beside the checkout: {SHARED} is absent")
    return SHARED
