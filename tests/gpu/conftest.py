"""Checks of every code path that needs an NVIDIA GPU; together they take less than eight minutes.

    make check-gpu

Without a GPU, all of them are skipped. `pytest tests/gpu --on-cpu` runs on tiny images those that can run on a CPU,
to test the checks themselves.
"""

import signal
import time
from pathlib import Path

import pytest
import torch
from gpu import textures
from gpu.cells import CellHarness, make_plan
from gpu.scale import CPU, GPU, Scale
from gpu.tables import FINDING, Summary

from entr.devices import gpu_lock, torch_device

MODULES = ("test_locks", "test_numerics", "test_speed", "test_memory", "test_compiled")
"""The modules in the order in which they run, the slowest last."""
DEFAULT_TIME_LIMIT = 120
"""Seconds after which a check counts as hung, unless it is marked with another limit."""
SESSION_START = time.monotonic()


def pytest_addoption(parser):
    parser.addoption("--on-cpu", action="store_true", help="run the checks of tests/gpu on a CPU, on tiny images")
    parser.addoption("--tables", type=Path, help="directory for the measurements of tests/gpu as CSV files")
    parser.addoption(
        "--minutes", type=float, default=60, help="skip the checks of tests/gpu that start after this time"
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "needs_gpu: cannot run on a CPU")
    config.addinivalue_line("markers", "time_limit(seconds): fail the check if it takes longer")
    if not _on_cpu(config):
        # before torch is asked for GPUs, because it counts them only once
        gpu_lock.acquire_gpu()
    config.pluginmanager.register(Summary(_describe_machine(), config.getoption("--tables", default=None)))


def _on_cpu(config) -> bool:
    return config.getoption("--on-cpu", default=False)


def _describe_machine() -> str:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    environment = torch_device.describe_environment(device)
    driver = environment.driver or "no GPU"
    return f"{environment.device}, {driver}, torch {environment.torch}, Python {environment.python}"


def pytest_collection_modifyitems(config, items):
    checks = [item for item in items if Path(__file__).parent in item.path.parents]
    others = [item for item in items if item not in checks]
    checks.sort(key=lambda item: MODULES.index(item.path.stem))
    deselected = []
    if _on_cpu(config):
        deselected = [item for item in checks if item.get_closest_marker("needs_gpu")]
    elif checks and not torch.cuda.is_available():
        # one skipped check is enough to say why
        reason = f"torch sees no NVIDIA GPU; the {len(checks)} checks of tests/gpu need one"
        checks[0].add_marker(pytest.mark.skip(reason=reason))
        deselected = checks[1:]
    config.hook.pytest_deselected(items=deselected)
    items[:] = others + [item for item in checks if item not in deselected]


def pytest_generate_tests(metafunc):
    scale = _scale(metafunc.config)
    if "model" in metafunc.fixturenames:
        metafunc.parametrize("model", scale.models)
    if "size" in metafunc.fixturenames:
        metafunc.parametrize("size", (scale.sizes[0], scale.sizes[-1]))


def _scale(config) -> Scale:
    return CPU if _on_cpu(config) else GPU


@pytest.fixture(autouse=True)
def enforce_time_limits(request):
    """Skip the check if the time of the session is used up, and fail it if it hangs."""
    minutes = request.config.getoption("--minutes")
    if time.monotonic() - SESSION_START > 60 * minutes:
        pytest.skip(f"the session has used its {minutes:g} minutes")
    marker = request.node.get_closest_marker("time_limit")
    seconds = marker.args[0] if marker else DEFAULT_TIME_LIMIT

    def time_out(*_):
        raise TimeoutError(f"not finished after {seconds} s")

    previous_handler = signal.signal(signal.SIGALRM, time_out)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous_handler)


@pytest.fixture
def record_finding(record_property):
    """Return a function that adds a measurement to the summary of the session."""
    return lambda text: record_property(FINDING, str(text))


@pytest.fixture(scope="session")
def scale(request) -> Scale:
    return _scale(request.config)


@pytest.fixture(scope="session")
def device(request) -> torch.device:
    return torch.device("cpu" if _on_cpu(request.config) else "cuda")


@pytest.fixture(scope="session")
def files(scale, tmp_path_factory):
    """Return the files of a dataset of square images."""
    side = scale.sizes[-1]
    return textures.write_textures(tmp_path_factory.mktemp("square"), scale.n_images, scale.n_classes, [(side, side)])


@pytest.fixture(scope="session")
def mixed_shape_files(scale, tmp_path_factory):
    """Return the files of a small dataset of images of three shapes, which are cropped to squares."""
    side = scale.sizes[-1]
    shapes = [(side, side), (side, 3 * side // 4), (2 * side // 3, side)]
    folder = tmp_path_factory.mktemp("mixed-shapes")
    return textures.write_textures(folder, 4 * scale.batch_size, scale.n_classes, shapes)


@pytest.fixture
def make_harness(scale, files, device):
    """Return a function that makes a `CellHarness` on the device."""
    return lambda model, **settings: CellHarness(model, make_plan(scale, **settings), files, device)


@pytest.fixture(autouse=True)
def release_gpu_memory():
    """Return cached GPU memory after each check."""
    yield
    # fastai leaves autocast enabled if an exception interrupts a training step
    torch.set_autocast_enabled("cuda", False)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
