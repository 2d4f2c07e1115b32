import pytest
from hypothesis import given
from hypothesis import strategies as st

from entr.analysis.estimation import REPLICATES_FOR_TEST
from entr.config.budget_choice import DECISIVE_SEEDS, choose_grid, reductions
from entr.config.budget_file import BudgetGrid

CONTROL = "no-increase"
CONFIGURED = BudgetGrid(
    models=("lite0", "resnet18"),
    regimes=(CONTROL, "gradual", "stepwise", "matched", "small"),
    seeds=(0, 1, 2),
    scale=0.4,
)
SCALES = (0.6, 0.8, 1.0)
START = 0.05
LEAST = START + 4 * 0.01 * 0.4**2


def hours_of(grid):
    """A fixed time, and 0.01 h per cell and model at scale 1."""
    return START + 0.01 * len(grid.models) * len(grid.regimes) * len(grid.seeds) * grid.scale**2


def choose(hours, configured=CONFIGURED):
    return choose_grid(configured, CONTROL, SCALES, hours_of, hours)


def rank(grid):
    """Order of preference: regimes, three seeds, scale, further seeds, models."""
    n_seeds = len(grid.seeds)
    return len(grid.regimes), min(n_seeds, 3), grid.scale, n_seeds, len(grid.models)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (0.0565, (1, 2, 2, 0.4)),
        (0.0605, (1, 3, 2, 0.4)),
        (0.065, (1, 4, 2, 0.4)),
        (0.067, (1, 5, 2, 0.4)),
        (0.075, (1, 5, 3, 0.4)),
        (0.091, (1, 5, 5, 0.4)),
        (0.105, (1, 5, 3, 0.6)),
        (0.2, (1, 5, 3, 1.0)),
        (0.31, (1, 5, 5, 1.0)),
        (0.36, (1, 5, 6, 1.0)),
        (9, (2, 5, 6, 1.0)),
    ],
)
def test_regimes_come_first_then_three_seeds_the_scale_six_seeds_and_models(hours, expected):
    grid, _ = choose(hours)
    assert (len(grid.models), len(grid.regimes), len(grid.seeds), grid.scale) == expected
    assert hours_of(grid) <= hours


@given(st.floats(LEAST, 2), st.floats(LEAST, 2))
def test_more_hours_never_lead_to_a_less_preferred_grid(one, other):
    less, more = (choose(hours)[0] for hours in sorted((one, other)))
    assert rank(less) <= rank(more)


def test_last_regimes_are_left_out_first_and_the_control_never():
    grid, left_out = choose(0.0605)
    assert grid.regimes == (CONTROL, "gradual", "stepwise")
    assert left_out == ["the regimes matched and small with 3 seeds (0.074 h)"]
    last = CONFIGURED.model_copy(update={"regimes": ("small", "gradual", CONTROL)})
    assert list(reductions(last, CONTROL))[-1].regimes == ("small", CONTROL)


def test_what_does_not_fit_is_stated_with_its_hours():
    assert choose(0.091)[1] == ["scale 0.6 (0.1 h)", "6 seeds (0.098 h)", "resnet18 (0.13 h)"]
    assert choose(9)[1] == []


def test_nothing_is_chosen_below_the_hours_of_the_smallest_grid():
    assert choose(LEAST)[0] is not None
    assert choose(LEAST - 1e-6) == (None, [])


@pytest.mark.parametrize(
    ("hours", "measured"), [(0.06, {0.4}), (0.08, {0.4, 0.6}), (0.12, {0.4, 0.6, 0.8}), (9, {0.4, 1})]
)
def test_scales_that_cannot_be_chosen_are_not_measured(hours, measured):
    asked = set()

    def record(grid):
        asked.add(grid.scale)
        return hours_of(grid)

    choose_grid(CONFIGURED, CONTROL, SCALES, record, hours)
    assert asked == measured


def test_added_seeds_are_those_that_the_configuration_lacks():
    grid, _ = choose(9, CONFIGURED.model_copy(update={"seeds": (1, 5)}))
    assert grid.seeds == (1, 5, 0, 2, 3, 4)


def test_configured_seeds_beyond_six_are_kept():
    grid, _ = choose(9, CONFIGURED.model_copy(update={"seeds": tuple(range(10))}))
    assert grid.seeds == tuple(range(10))


def test_six_seeds_can_decide():
    assert DECISIVE_SEEDS == REPLICATES_FOR_TEST
