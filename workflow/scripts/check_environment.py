"""Check whether this machine can run the grid."""

from entr.jobs.logs import configure_logging
from entr.training.lazy_imports import lazy_imports

with lazy_imports():
    from entr.preflight.environment import check_environment

configure_logging(snakemake.log[0], terminal=True)
check_environment(**snakemake.params)
