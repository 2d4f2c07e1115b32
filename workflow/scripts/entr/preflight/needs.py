"""What a grid needs: memory of a cell, disk space for what is missing, and time."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from entr.config.schema import Config
from entr.config.training_plan import Plan, micro_batch_sizes
from entr.data.image_folder import labelled_files
from entr.data.sources.synthetic_micrographs import MICROSTRUCTURES
from entr.data.sources.url_list import read_url_list
from entr.jobs.paths import cell_of
from entr.jobs.tables import read_table
from entr.metrics.cell_files import is_finished
from entr.models.memory import ModelMemory, measure_memory

CHANNELS = 3
PROCESS_BYTES = 600_000_000
"""Memory of a cell without images and model: Python with torch and fastai."""
PRESUMED_CLASSES = 10
"""Number of classes of a dataset for which it is unknown; it hardly affects the memory."""


@dataclass(frozen=True)
class GridNeeds:
    """What a grid needs of a machine, as far as it is known before the run."""

    cells: int
    finished: int
    images: int
    """Bytes of the largest set of images that a cell keeps in memory: as they are stored, or at one size."""
    training: int
    """Bytes of the largest model while it is trained, see `ModelMemory.training`."""
    disk: int
    """Bytes of the images and cells that are missing."""
    unknown: tuple[str, ...] = ()
    """Datasets with an unknown number of images, which are in neither number of bytes."""

    @property
    def memory(self) -> int:
        """Bytes of memory that a cell takes at least on a CPU."""
        return PROCESS_BYTES + self.images + self.training


def pending_cells(settings: Config, metrics: Sequence[str]) -> list[str]:
    """Return the cells that are not finished, or were trained with other settings.

    Parameters
    ----------
    settings : Config
        The configuration.
    metrics : sequence of str
        Files ``metrics.json`` of all cells.
    """
    plan = functools.cache(settings.plan)
    cells = {path: cell_of(path) for path in metrics}
    return [
        path
        for path, cell in cells.items()
        if not is_finished(path, plan(cell["dataset"], cell["regime"]), settings.match)
    ]


def measure_needs(settings: Config, metrics: Sequence[str], folder: Path) -> GridNeeds:
    """Compute what a grid needs.

    Parameters
    ----------
    settings : Config
        The configuration.
    metrics : sequence of str
        Files ``metrics.json`` of all cells.
    folder : Path
        The results.

    Raises
    ------
    EntrError
        If a model cannot be built, or a folder of images cannot be read.
    """
    plans = {name: [settings.plan(name, regime) for regime in settings.grid.regimes] for name in settings.grid.datasets}
    images = {name: count_images(settings, name, folder) for name in plans}
    models = {model: _largest_memory(model, settings, plans) for model in settings.grid.models}
    pending = pending_cells(settings, metrics)
    side = settings.downscaling()["max_side"]
    return GridNeeds(
        cells=len(metrics),
        finished=len(metrics) - len(pending),
        images=max(
            (count or 0) * CHANNELS * max(side, *map(_largest_size, plans[name])) ** 2 for name, count in images.items()
        ),
        training=max(memory.training for memory in models.values()),
        disk=sum(_bytes_of_images(settings, name, count or 0, folder) for name, count in images.items())
        + _bytes_of_cells([models[cell_of(path)["model"]] for path in pending]),
        unknown=tuple(name for name, count in images.items() if count is None),
    )


def count_images(settings: Config, name: str, folder: Path) -> int | None:
    """Return the number of images of a dataset, or None if it is unknown before the dataset is fetched."""
    dataset = settings.datasets[name]
    manifest = folder / "data" / name / "manifest.csv"
    if manifest.exists():
        return len(read_table(manifest))
    if dataset.source == "folder" and Path(dataset.path or "").is_dir():
        return sum(1 for _ in labelled_files(Path(dataset.path or "")))
    if dataset.source == "url_list" and Path(dataset.path or "").is_file():
        return len(read_url_list(dataset.path or "", f"datasets.{name}.path"))
    if dataset.source == "synthetic":
        return len(MICROSTRUCTURES) * dataset.images_per_class
    return dataset.images


def _largest_size(plan: Plan) -> int:
    return max(size for phase in plan.phases for size in phase.input_sizes())


def _largest_batch(plan: Plan) -> tuple[int, int]:
    """Return the number of images and their side in px of the part of a batch that has the most pixels."""
    parts = plan.training.gradient_accumulation
    batches = [
        (micro_batch_sizes(phase.batch_size_of(size), parts)[0], size)
        for phase in plan.phases
        for size in phase.input_sizes()
    ]
    return max(batches, key=lambda batch: batch[0] * batch[1] ** 2)


def _largest_memory(model: str, settings: Config, plans: dict[str, list[Plan]]) -> ModelMemory:
    """Return the memory of a model with the batch of the grid that has the most pixels."""
    batches = [(*_largest_batch(plan), name) for name, of_dataset in plans.items() for plan in of_dataset]
    batch_size, size, name = max(batches, key=lambda batch: batch[0] * batch[1] ** 2)
    return measure_memory(model, settings.datasets[name].classes or PRESUMED_CLASSES, batch_size, size)


def _bytes_of_images(settings: Config, name: str, count: int, folder: Path) -> int:
    """Return the bytes that are missing of a dataset: the archive and its content, downscaled and packed images."""
    own = folder / "data" / name
    archive = 0 if (own / "originals").exists() else settings.datasets[name].bytes or 0
    packed = count * CHANNELS * settings.downscaling()["max_side"] ** 2
    # an archive of images has about the size of its content, and so have downscaled images at most
    missing = [] if (own / "pixels.npy").exists() else [packed]
    missing += [] if (own / "images").exists() else [packed]
    return 2 * archive + sum(missing)


def _bytes_of_cells(models: Sequence[ModelMemory]) -> int:
    """Return the bytes of the models of some cells, and of the checkpoint of the largest while it is trained."""
    weights = [memory.weights for memory in models]
    return sum(weights) + max(weights, default=0)
