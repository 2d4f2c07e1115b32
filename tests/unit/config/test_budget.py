import pytest
from configurations import FILES, merged

from entr.config import budget
from entr.config.budget_file import Budget, BudgetGrid, write_budget
from entr.config.validation import validate_config
from entr.jobs.errors import EntrError

GRID = BudgetGrid(models=("resnet18",), regimes=("no-increase", "gradual"), seeds=(0, 1), scale=1.0)


@pytest.fixture
def config():
    return validate_config(merged(*FILES, hours=2))


def recorded(config, **changes):
    values = {"hours": 2, "expected_hours": 1.5, "images": "i", "grid": GRID, "left_out": ("3 seeds (2.2 h)",)}
    return Budget(configuration=budget.configuration_digest(config), **values | changes)


def test_recorded_grid_replaces_that_of_the_configuration(config, tmp_path):
    write_budget(recorded(config), tmp_path / "budget.yaml")
    found = budget.read_budget(tmp_path / "budget.yaml", config, "i")
    settings = budget.within_budget(config, found)
    assert budget.grid_of(settings) == GRID
    assert settings.grid.datasets == config.grid.datasets
    assert budget.describe(config, found) == [
        "budget of 2 h: resnet18, scale 1, 2 regimes, 2 seeds; about 1.5 h in total",
        "does not fit into the budget: 3 seeds (2.2 h)",
    ]


@pytest.mark.parametrize(
    "changes", [{"hours": 3}, {"seeds": 4}, {"training": {"batch_size": 8}}, {"split": {"folds": 5}}]
)
def test_other_configuration_needs_another_choice(config, tmp_path, changes):
    path = tmp_path / "budget.yaml"
    write_budget(recorded(config), path)
    other = validate_config(merged(*FILES, **{"hours": 2} | changes))
    assert budget.read_budget(path, other) is None
    assert budget.read_budget(path, validate_config(merged(*FILES, hours=2, logger="tensorboard"))) is not None


def test_other_images_need_another_choice(config, tmp_path):
    path = tmp_path / "budget.yaml"
    assert budget.read_budget(path, config) is None
    write_budget(recorded(config), path)
    assert budget.read_budget(path, config, "others") is None
    assert budget.read_budget(path, config, "i") == recorded(config)


def test_too_few_hours_are_an_error_that_states_the_least(config):
    nothing = recorded(config, grid=None, expected_hours=3.14)
    with pytest.raises(EntrError, match=r"hours: 2 h are too few .* takes about 3\.1 h; raise hours") as error:
        budget.within_budget(config, nothing)
    assert budget.describe(config, nothing) == [str(error.value)]


def test_damaged_record_is_an_error_that_says_what_to_do(config, tmp_path):
    path = tmp_path / "budget.yaml"
    for text in ("hours: [", "hours: 2\n", "hours: 2020-13-45\n"):
        path.write_text(text)
        with pytest.raises(EntrError, match="is damaged; delete it"):
            budget.read_budget(path, config)


def test_larger_scales_are_tried_in_ascending_order(config):
    assert list(budget.at_scales(config)) == [1.0]
    small = budget.at_scales(validate_config(merged(*FILES, scale=0.7)))
    assert {scale: one.scale for scale, one in small.items()} == {0.7: 0.7, 0.8: 0.8, 1.0: 1.0}


def test_without_hours_nothing_is_said_and_nothing_changes():
    config = validate_config(merged(*FILES))
    assert budget.describe(config, None) == []
    assert budget.within_budget(config, None) is config
