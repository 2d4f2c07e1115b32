"""One cell of the grid: a model trained through the phases of a regime, timed, evaluated and written."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save

from entr.config.training_plan import Plan
from entr.devices import torch_device
from entr.jobs.files import atomic_write, sha256
from entr.jobs.locks import exclusive_lock
from entr.jobs.system_clock import refuse_files_from_the_future
from entr.jobs.tables import write_table
from entr.metrics.cell_metrics import METRICS_FILE, Cell, Metrics
from entr.models import architectures
from entr.training.checkpoint import Checkpoint, lock_path
from entr.training.clock import Clock
from entr.training.evaluation import Evaluator
from entr.training.resize import PackedImages
from entr.training.trainer import Trainer


def train_cell(
    cell: Cell,
    plan: Plan,
    *,
    pixels: str | Path,
    manifest: str | Path,
    split: str | Path,
    weights: str | Path | None,
    folder: str | Path,
    checkpoint: str | Path,
    code: str = "",
    tensorboard: Path | None = None,
) -> None:
    """Train, evaluate and write one cell, resuming from its checkpoint if there is one.

    All random numbers of a phase come from the seed and the name of the phase, and each phase has a
    fresh optimizer. So the weights after a phase are all that the next one needs, and on a CPU an
    interrupted cell gives bit-identical results; on a GPU it does so if `training.deterministic` is set.

    Parameters
    ----------
    cell, plan : Cell, Plan
        Which cell, and how it is trained.
    pixels, manifest, split : path
        The packed images, the manifest of their rows, and which of them are for validation.
    weights : path or None
        Pretrained weights of the whole model, or None for random initialisation.
    folder : path
        Gets ``metrics.json`` (`metrics.cell_metrics.Metrics`), ``history.csv`` (one row per epoch),
        ``steps.csv`` (one row per training step), ``lr_find.csv`` (one row per step of the
        learning-rate finder), ``predictions.csv`` (one row per stage, resolution and validation
        image) and ``model.safetensors``; the metrics are written last, with the checksums of the others.
    checkpoint : path
        Written after each phase, and removed when the cell is finished.
    code : str
        Digest of the code; a checkpoint of other code is not resumed from.
    tensorboard : Path, optional
        Directory of TensorBoard's logs.

    Raises
    ------
    EntrError
        If the device is missing or too small, the weights do not match the model, the loss is not
        finite, the system clock was set back to before the images were packed, or another process
        trains the same cell.
    """
    refuse_files_from_the_future([pixels, manifest, split, *([weights] if weights else [])])
    with exclusive_lock(lock_path(checkpoint), f"the cell {cell}"):
        clock = Clock.from_process_start(torch.device("cpu"))
        with clock.on("waiting"):
            device = torch_device.choose_device(plan.training.device)
        clock.device = device
        identity = {
            "configuration": _digest(cell.model_dump_json(), plan.model_dump_json()),
            "code": code,
            "data": _digest(sha256(manifest), sha256(split), _size_and_time(pixels)),
            "weights": sha256(weights) if weights else "none",
            "machine": torch_device.describe_environment(device).model_dump_json(),
        }
        saved = Checkpoint(Path(checkpoint), identity)
        state, tensors = saved.load() or (None, None)
        trainer = Trainer(cell, plan, PackedImages.open(pixels, manifest, split), weights, clock, state, tensorboard)
        if tensors is not None:
            trainer.resume(tensors)
        evaluator = Evaluator(trainer)

        for phase in plan.phases[trainer.state.phases_finished :]:
            trainer.train(phase)
            if phase.phase == plan.training.subtotal_after:
                evaluator.evaluate("sub-total", phase.size)
            trainer.save(saved)
        evaluator.evaluate("total", plan.phases[-1].size)
        evaluator.evaluate("total-tta", plan.tta_size)

        write_cell(trainer, Path(folder))
        saved.remove()


def write_cell(trainer: Trainer, folder: Path) -> None:
    """Write the files of a finished cell, the metrics last; see `train_cell`."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in trainer.model.state_dict().items()}
    model = folder / "model.safetensors"
    with atomic_write(model, "wb") as file:
        file.write(save(tensors, architectures.trained_metadata(trainer.cell.model, trainer.packed.labels)))
    tables = {folder / f"{name}.csv": table for name, table in trainer.state.tables().items()}
    for path, table in tables.items():
        write_table(table, path)
    checksums = {path.name: sha256(path) for path in (*tables, model)}
    with atomic_write(folder / METRICS_FILE) as file:
        file.write(cell_metrics(trainer, checksums).to_json())


def cell_metrics(trainer: Trainer, checksums: Mapping[str, str]) -> Metrics:
    """Return the metrics of a finished cell.

    Parameters
    ----------
    trainer : Trainer
        The trainer, after the last evaluation.
    checksums : mapping of str to str
        SHA-256 of the other files of the cell, by name.
    """
    plan, packed, state = trainer.plan, trainer.packed, trainer.state
    return Metrics(
        **trainer.cell.model_dump(),
        plan=plan,
        precision=trainer.precision,
        epochs=plan.epochs,
        classes=len(packed.labels),
        training_images=len(packed.training_rows),
        validation_images=len(packed.validation_rows),
        evaluations=tuple(state.evaluations),
        diagnostics=tuple(state.diagnostics),
        other_sizes=state.other_sizes,
        seconds_until=state.seconds_until,
        image_passes=state.image_passes,
        seconds=trainer.clock.summary(),
        peak_memory_mb=trainer.peak_memory() / 1e6 if trainer.device.type == "cuda" else None,
        sizes_in_host_memory=tuple(state.sizes_in_host_memory),
        seconds_to_first_step=trainer.seconds_to_first_step,
        resumed=state.times_resumed,
        environment=torch_device.describe_environment(trainer.device),
        checksums=dict(checksums),
    )


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _size_and_time(path: str | Path) -> str:
    """Return what tells a file of gigabytes from another without reading it."""
    status = Path(path).stat()
    return f"{status.st_size}\0{status.st_mtime_ns}"
