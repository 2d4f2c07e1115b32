"""The choice of the grid that fits into a budget of hours."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count

from entr.config.budget_file import BudgetGrid

MIN_REGIMES = 2
"""Fewest regimes of a comparison."""
MIN_SEEDS = 2
"""Fewest seeds with an interval."""
DECISIVE_SEEDS = 6
"""Fewest seeds with which the exact test can decide, see `analysis.estimation.REPLICATES_FOR_TEST`."""


def choose_grid(
    configured: BudgetGrid,
    control: str,
    scales: Sequence[float],
    hours_of: Callable[[BudgetGrid], float],
    hours: float,
) -> tuple[BudgetGrid | None, list[str]]:
    """Choose the grid that fits into a number of hours.

    Starts from the first model with all regimes and seeds at the configured scale. If that does not fit, seeds are
    left out first, then regimes, the last ones first, but never the control. If it fits, the largest scale that fits
    is chosen, then the number of seeds is raised to `DECISIVE_SEEDS`, and then further models are added.

    Parameters
    ----------
    configured : BudgetGrid
        The configured grid; its scale is the smallest.
    control : str
        The regime that is not left out.
    scales : sequence of float
        Larger scales, in ascending order.
    hours_of : callable
        Returns the hours of the whole run with a grid. Scales and models are measured when it is first called with
        them, so it is called with larger ones only if smaller ones fit.
    hours : float
        The budget.

    Returns
    -------
    BudgetGrid or None
        None if not even the smallest grid fits.
    list of str
        What does not fit, with the hours that the run would take; if nothing fits, an empty list.
    """
    left_out: list[str] = []

    def fits(grid: BudgetGrid, what: str) -> bool:
        needed = hours_of(grid)
        if needed > hours:
            left_out.append(f"{what} ({needed:.2g} h)")
        return needed <= hours

    first = configured.model_copy(update={"models": configured.models[:1]})
    grid = next((smaller for smaller in reductions(first, control) if hours_of(smaller) <= hours), None)
    if grid is None:
        return None, []
    if grid != first:
        return grid, [f"{_difference(first, grid)} ({hours_of(first):.2g} h)"]
    remaining = list(scales)
    while remaining:
        # without measuring those below the largest one that fits even if all of the time grows with the area
        safe = [scale for scale in remaining if hours_of(grid) * (scale / grid.scale) ** 2 <= hours]
        scale = safe[-1] if safe else remaining[0]
        larger = grid.model_copy(update={"scale": scale})
        if not fits(larger, f"scale {scale:g}"):
            break
        grid = larger
        remaining = [one for one in remaining if one > scale]
    while len(grid.seeds) < DECISIVE_SEEDS:
        more = grid.model_copy(update={"seeds": (*grid.seeds, next(n for n in count() if n not in grid.seeds))})
        if not fits(more, f"{len(more.seeds)} seeds"):
            break
        grid = more
    for model in configured.models[1:]:
        more = grid.model_copy(update={"models": (*grid.models, model)})
        if fits(more, model):
            grid = more
    return grid, left_out


def reductions(grid: BudgetGrid, control: str) -> Iterator[BudgetGrid]:
    """Yield a grid and smaller ones, in the order in which they are tried: fewer seeds, then fewer regimes."""
    regimes = list(grid.regimes)
    while True:
        for n_seeds in range(len(grid.seeds), min(MIN_SEEDS, len(grid.seeds)) - 1, -1):
            yield grid.model_copy(update={"regimes": tuple(regimes), "seeds": grid.seeds[:n_seeds]})
        if len(regimes) <= MIN_REGIMES:
            return
        regimes.remove([regime for regime in regimes if regime != control][-1])


def _difference(whole: BudgetGrid, part: BudgetGrid) -> str:
    """Return what a reduced grid lacks."""
    regimes = [regime for regime in whole.regimes if regime not in part.regimes]
    words = [f"the regime{'s' if len(regimes) > 1 else ''} {' and '.join(regimes)}"] if regimes else []
    if len(part.seeds) < len(whole.seeds):
        words.append(f"{len(whole.seeds)} seeds")
    return " with ".join(words)
