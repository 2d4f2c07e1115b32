"""Errors of the device as one clear line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from entr.config.training import Training
from entr.devices import torch_device
from entr.jobs.errors import EntrError, one_line
from entr.metrics.cell_metrics import Cell


@contextmanager
def device_errors(cell: Cell, settings: Training, device: torch.device, what: str, size: int) -> Iterator[None]:
    """Raise errors of memory and compilation as an `EntrError`.

    The batch size is not reduced automatically, because that would be a different experiment.

    Parameters
    ----------
    cell, settings, device : Cell, Training, torch.device
        What is trained, and where.
    what : str
        The phase or stage.
    size : int
        Side of the images in px.
    """
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise EntrError(
            f"{cell}: torch cannot compile the training steps ({one_line(error)}); install what is missing, or set "
            "training.compile_mode: none"
        ) from error
    except torch.OutOfMemoryError as error:
        free = torch.cuda.mem_get_info(device)[0] / 1e9 if device.type == "cuda" else 0
        raise EntrError(
            f"{cell}: out of memory on {torch_device.device_name(device)} ({free:.1f} GB free) in {what}, with "
            f"{micro_batch_size(settings)} images of {size} px at a time (batch size {settings.batch_size}); set "
            f"training.gradient_accumulation: {2 * settings.gradient_accumulation}, which keeps the batch size, or "
            "lower training.batch_size"
        ) from error


def micro_batch_size(settings: Training) -> int:
    """Return how many images the device holds at a time while it trains; prediction uses as many."""
    return -(-settings.batch_size // settings.gradient_accumulation)
