"""Choose the grid that fits into the budget."""

from pathlib import Path

from entr.jobs.logs import configure_logging
from entr.training.lazy_imports import lazy_imports

with lazy_imports():
    from entr.benchmark.budget_fit import fit_budget

configure_logging(snakemake.log[0])
fit_budget(
    snakemake.output[0],
    **snakemake.params,
    originals={Path(path).parent.name: path for path in snakemake.input.originals},
    weights={Path(path).stem: path for path in snakemake.input.get("weights", ())},
    cores=snakemake.threads,
)
