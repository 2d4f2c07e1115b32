import pytest
from configurations import CATALOGUE, FILES, merged
from factories import metrics

from entr.config.validation import validate_config
from entr.jobs.errors import EntrError
from entr.report.archived_cells import check_cells, find_results, select_archived

REGIMES = ("no-increase", "gradual")
CELL = "cells/ucm/resnet18/{regime}/seed0"


def configuration(**changes):
    grid = {"datasets": ["ucm"], "models": ["resnet18"], "regimes": list(REGIMES), "seeds": [0]}
    return validate_config(merged(*FILES, CATALOGUE, grid=grid, **changes))


@pytest.fixture
def results(tmp_path):
    """The results of an archived run."""
    config, folder = configuration(), tmp_path / "archive" / "results"
    for regime in REGIMES:
        cell = folder / CELL.format(regime=regime)
        cell.mkdir(parents=True)
        for name in ("history", "predictions", "steps", "lr_find"):
            (cell / f"{name}.csv").touch()
        trained = metrics("gradual", 0).model_copy(update={"regime": regime, "plan": config.plan("ucm", regime)})
        (cell / "metrics.json").write_text(trained.to_json(), encoding="utf-8")
    tables = [f"data/ucm/{name}.csv" for name in ("manifest", "rejected", "duplicates")]
    for name in ("inference/resnet18.csv", "inference/trained/ucm/resnet18.csv", *tables):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_complete_archive_is_accepted(results):
    assert check_cells(results, configuration()) == 0


def test_results_are_found_in_the_folder_or_in_its_results(results):
    assert find_results(results) == results
    assert find_results(results.parent) == results


def test_folder_without_cells_is_refused(tmp_path):
    with pytest.raises(EntrError, match="contains no archived run; give a folder results"):
        find_results(tmp_path)


def test_output_directory_of_the_run_is_refused(results, monkeypatch):
    monkeypatch.chdir(results.parent)
    with pytest.raises(EntrError, match="would be overwritten; choose another working directory"):
        find_results(".")


def test_missing_cells_of_the_first_seed_are_counted(results):
    (results / CELL.format(regime="gradual") / "metrics.json").unlink()
    message = r"1 of 2 cells of the first seed are missing, the first is .*gradual/seed0; remove"
    with pytest.raises(EntrError, match=message):
        check_cells(results, configuration())


def test_cells_of_further_seeds_may_be_missing(results):
    assert check_cells(results, configuration(seeds=3)) == 4
    archived, missing = (
        [f"results/{CELL.format(regime=regime)}/history.csv" for regime in regimes] for regimes in (REGIMES, ["small"])
    )
    assert select_archived(results, [*archived, *missing]) == archived


@pytest.mark.parametrize(
    "name",
    [
        f"{CELL.format(regime='gradual')}/predictions.csv",
        f"{CELL.format(regime='gradual')}/steps.csv",
        "inference/resnet18.csv",
        "inference/trained/ucm/resnet18.csv",
        "data/ucm/rejected.csv",
    ],
)
def test_missing_file_is_named(results, name):
    (results / name).unlink()
    with pytest.raises(EntrError, match=f"{name} is missing; restore it"):
        check_cells(results, configuration())


def test_steps_of_further_seeds_are_not_needed(results):
    for regime in REGIMES:
        first = results / CELL.format(regime=regime)
        second = first.with_name("seed1")
        second.mkdir()
        for name in ("metrics.json", "history.csv", "predictions.csv"):
            (second / name).write_bytes((first / name).read_bytes())
    assert check_cells(results, configuration(seeds=2)) == 0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"training": {"dropout": 0.25}}, "training.dropout was 0.1 but is now 0.25"),
        ({"scale": 2}, "training.evaluation_sizes was "),
        ({"regimes": {"gradual": {"rpl": 40}}}, "phases.3.sizes was "),
        ({"weights": "imagenet"}, "was trained from the weights none, but weights is imagenet now"),
    ],
)
def test_other_settings_are_refused(results, changes, problem):
    with pytest.raises(EntrError, match=f"{problem}.*; give the configuration of the archived run with --configfile"):
        check_cells(results, configuration(**changes))


def test_fitted_epochs_of_equal_time_may_differ_from_the_configured_ones(results):
    path = results / CELL.format(regime="gradual") / "metrics.json"
    plan = configuration().plan("ucm", "gradual")
    fitted = plan.with_epochs({phase.phase: phase.epochs + 1 for phase in plan.phases})
    path.write_text(metrics("gradual", 0).model_copy(update={"plan": fitted}).to_json(), encoding="utf-8")
    check_cells(results, configuration(match="time"))
    with pytest.raises(EntrError, match="was trained with different settings: phases"):
        check_cells(results, configuration())
