"""Cells of an archived run, from which tables and figures are made without training."""

from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

from entr.config.schema import Config
from entr.jobs.errors import EntrError
from entr.jobs.nested_values import flatten
from entr.jobs.paths import CELL
from entr.metrics.cell_files import read_metrics, with_fitted_epochs
from entr.metrics.cell_metrics import METRICS_FILE, Metrics

OF_EACH_SEED = (METRICS_FILE, "history.csv", "predictions.csv")
OF_FIRST_SEED = ("steps.csv", "lr_find.csv")
OF_DATASET = ("manifest.csv", "rejected.csv", "duplicates.csv")
WITH_CONFIGURATION = "give the configuration of the archived run with --configfile"


def find_results(folder: str | Path) -> Path:
    """Return the ``results`` directory of an archived run.

    Parameters
    ----------
    folder : path
        The ``results`` directory, or a directory that contains it, such as an extracted archive.

    Raises
    ------
    EntrError
        If there is no cell in it, or if it is the output directory of this run.
    """
    candidates = Path(folder, "results"), Path(folder)
    found = next((results for results in candidates if (results / "cells").is_dir()), None)
    if found is None:
        raise EntrError(
            f"archive: {folder} contains no archived run; give a folder results with its subfolder cells, or an "
            "extracted archive of snakemake ro_crate"
        )
    if found.resolve() == Path("results").resolve():
        raise EntrError(
            f"archive: {found} is also the output folder of this run and would be overwritten; choose another working "
            "directory with --directory"
        )
    return found


def check_cells(results: Path, config: Config) -> int:
    """Check that an archived run contains every file that the tables need, of cells that were trained as configured.

    Parameters
    ----------
    results : path
        The directory from `find_results`.
    config : Config
        The configuration.

    Returns
    -------
    int
        The number of cells of the grid that are not archived.

    Raises
    ------
    EntrError
        If a cell of the first seed or a file of an archived cell is missing, or if a cell is damaged, is from an
        earlier version, or was trained with other settings.
    """
    cells = list(product(*config.grid.model_dump().values()))
    archived = [cell for cell in cells if (results / _directory(*cell) / METRICS_FILE).exists()]
    needed = [cell for cell in cells if cell[-1] == config.grid.seeds[0]]
    missing = [cell for cell in needed if cell not in archived]
    if missing:
        raise EntrError(
            f"archive: {len(missing)} of {len(needed)} cells of the first seed are missing, the first is "
            f"{results / _directory(*missing[0])}; remove their datasets, models or regimes from grid, or begin with "
            "a seed that is archived"
        )
    lacking = next((path for path in _files(config, archived) if not (results / path).exists()), None)
    if lacking:
        raise EntrError(f"archive: {results / lacking} is missing; restore it, or restrict grid to what is archived")
    for cell in archived:
        _check_settings(results / _directory(*cell), read_metrics(results / _directory(*cell) / METRICS_FILE), config)
    return len(cells) - len(archived)


def select_archived(results: Path, files: Iterable[str]) -> list[str]:
    """Return the files that belong to archived cells.

    Parameters
    ----------
    results : path
        The directory from `find_results`.
    files : iterable of str
        Files of cells, such as ``results/cells/.../history.csv``.
    """
    cells = ((file, results / Path(file).relative_to("results").parent) for file in files)
    return [file for file, cell in cells if (cell / METRICS_FILE).exists()]


def _directory(dataset: str, model: str, regime: str, seed: int) -> Path:
    """Return the directory of a cell in the results."""
    pattern = Path(CELL).relative_to("results")
    return Path(str(pattern).format(dataset=dataset, model=model, regime=regime, seed=seed))


def _files(config: Config, cells: list[tuple[str, str, str, int]]) -> Iterator[Path]:
    """Yield the files that the tables need, relative to the results."""
    for cell in cells:
        of_cell = OF_EACH_SEED if cell[-1] != config.grid.seeds[0] else (*OF_EACH_SEED, *OF_FIRST_SEED)
        yield from (_directory(*cell) / name for name in of_cell)
    yield from (Path("inference", f"{model}.csv") for model in config.grid.models)
    for dataset in config.grid.datasets:
        yield from (Path("inference", "trained", dataset, f"{model}.csv") for model in config.grid.models)
        yield from (Path("data", dataset, name) for name in OF_DATASET)


def _check_settings(folder: Path, trained: Metrics, config: Config) -> None:
    weights = config.weights_label(trained.model)
    if trained.weights != weights:
        raise EntrError(
            f"archive: {folder} was trained from the weights {trained.weights}, but weights is {weights} now; "
            f"{WITH_CONFIGURATION}"
        )
    plan = with_fitted_epochs(config.plan(trained.dataset, trained.regime), trained.plan, config.match)
    before, after = flatten(trained.plan.plain()), flatten(plan.plain())
    changed = {key for key, _ in before.items() ^ after.items()}
    if changed:
        # the keys of the configuration rather than what follows from them
        key = min(changed, key=lambda name: (not name.startswith("training."), name))
        raise EntrError(
            f"archive: {folder} was trained with different settings: {key} was {before.get(key, 'absent')} but is now "
            f"{after.get(key, 'absent')}; {WITH_CONFIGURATION}"
        )
