"""Errors of the device as one clear line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from entr.config.training import Training
from entr.config.training_plan import PhasePlan, micro_batch_sizes
from entr.devices import torch_device
from entr.jobs.errors import EntrError, one_line
from entr.metrics.cell_metrics import Cell


@contextmanager
def device_errors(
    cell: Cell, settings: Training, device: torch.device, what: str, size: int, phase: PhasePlan | None = None
) -> Iterator[None]:
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
    phase : PhasePlan, optional
        The phase being trained, if any.
    """
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise EntrError(
            f"{cell}: torch cannot compile the training steps ({one_line(error)}); install what is missing, or set "
            "training.compile_mode: none"
        ) from error
    except torch.OutOfMemoryError as error:
        batch_size, key = settings.batch_size, "training.batch_size"
        if phase:
            batch_size = phase.batch_size_of(size)
            if settings.phases[phase.phase].batch_size:
                key = f"training.phases.{phase.phase}.batch_size"
        part = micro_batch_sizes(batch_size, settings.gradient_accumulation)[0]
        remedy = f"lower {key}"
        if part > 2:
            parts = 2 * settings.gradient_accumulation
            remedy = f"set training.gradient_accumulation: {parts}, which keeps the batch size, or {remedy}"
        free = torch.cuda.mem_get_info(device)[0] / 1e9 if device.type == "cuda" else 0
        raise EntrError(
            f"{cell}: out of memory on {torch_device.device_name(device)} ({free:.1f} GB free) in {what}, with "
            f"{part} images of {size} px at a time (batch size {batch_size}); {remedy}"
        ) from error


def micro_batch_size(settings: Training) -> int:
    """Return how many images the device holds at a time while it trains; prediction uses as many."""
    return micro_batch_sizes(settings.batch_size, settings.gradient_accumulation)[0]
