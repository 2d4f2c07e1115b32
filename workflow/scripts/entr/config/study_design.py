"""The design of a study: what a grid compares, as the analysis and the report need it."""

from entr.config.base import FrozenModel


class StudyDesign(FrozenModel):
    """The factors of the grid, its control, and how results are compared."""

    datasets: dict[str, str]
    """Titles of the datasets, by name, in the order of the grid."""
    stand_in_for: dict[str, str | None]
    """For each dataset, the paper's dataset for which it is a stand-in, if any."""
    models: tuple[str, ...]
    """Names of the models."""
    regimes: tuple[str, ...]
    """Names of the regimes."""
    seeds: tuple[int, ...]
    """Replicates."""
    control: str
    """Name of the regime with which the others are compared."""
    time_basis: str
    """Basis of *T*: `training`, `forward` or `latency`."""
    folds: int
    """Folds of a partition; they determine how much the training sets of two seeds overlap."""
