"""Cells on GPUs with too little free memory, which are emulated on a GPU with enough."""

import gc
import logging

import numpy as np
import pytest
import torch
from gpu.cells import EXACT_FLOAT32, make_plan, train

from entr.devices import torch_device
from entr.jobs.errors import EntrError

pytestmark = pytest.mark.needs_gpu

SMALL_GPU = 3 * 10**9
"""Bytes that are too few for ResNet-50 with a full batch of the largest images."""
IMAGES_ON_HOST = "they stay in host memory"
"""Part of the warning about images that do not fit on the device."""


@pytest.fixture
def read_log(caplog, monkeypatch):
    """Return a function that returns the log since its last call."""
    monkeypatch.setattr(logging.getLogger("entr"), "propagate", True)
    caplog.set_level(logging.INFO, "entr")

    def read():
        text = caplog.text
        caplog.clear()
        return text

    return read


@pytest.fixture
def limit_memory():
    """Return a function that limits how many more bytes of GPU memory this process may allocate."""

    def limit(n_bytes):
        gc.collect()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1, (torch.cuda.memory_reserved() + n_bytes) / total))

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_out_of_memory_error_suggests_gradient_accumulation_which_helps(
    scale, files, limit_memory, tmp_path, record_finding
):
    limit_memory(SMALL_GPU)
    with pytest.raises(EntrError, match="gradient_accumulation") as raised:
        train("resnet50", make_plan(scale), files, tmp_path / "whole")
    record_finding(str(raised.value))
    assert "\n" not in str(raised.value)
    # its traceback keeps tensors alive
    del raised
    limit_memory(SMALL_GPU)
    # with batches of four images and random weights, BatchNorm diverges at the default learning rate
    plan = make_plan(scale, gradient_accumulation=16, learning_rate=1e-4)
    metrics = train("resnet50", plan, files, tmp_path / "parts").metrics
    record_finding(f"peak memory with gradient_accumulation 16: {metrics.peak_memory_mb:.0f} MB")


def test_images_that_do_not_fit_next_to_the_model_stay_in_host_memory(
    scale, files, tmp_path, read_log, record_finding, monkeypatch
):
    size = scale.sizes[0]
    plan = make_plan(scale, size, full_size=size, batch_size=16, **EXACT_FLOAT32)
    on_device = train("resnet18", plan, files, tmp_path / "device")
    assert IMAGES_ON_HOST not in read_log()
    # emulates a GPU that has memory for the model but not for the images
    monkeypatch.setattr(torch_device, "FRACTION_FOR_IMAGES", 0.0)
    on_host = train("resnet18", plan, files, tmp_path / "host")
    assert IMAGES_ON_HOST in read_log()
    losses = [cell.table("steps")["loss"] for cell in (on_device, on_host)]
    assert np.allclose(*losses, rtol=0.05)
    slowdown = on_host.metrics.seconds.training / on_device.metrics.seconds.training
    record_finding(f"training time with images in host memory, relative to device-resident images: {slowdown:.2f}")
    record_finding(f"maximum difference of the losses: {np.abs(losses[0] - losses[1]).max():.1e}")


def test_memory_cached_by_torch_counts_as_free(scale, files, tmp_path, read_log):
    cached = torch.empty(int(0.99 * torch.cuda.mem_get_info()[0]), dtype=torch.uint8, device="cuda")
    # the allocator of torch keeps the memory
    del cached
    assert torch.cuda.mem_get_info()[0] < files["pixels"].stat().st_size * 8
    train("resnet18", make_plan(scale, scale.sizes[0], full_size=scale.sizes[0]), files, tmp_path / "cell")
    assert IMAGES_ON_HOST not in read_log()
