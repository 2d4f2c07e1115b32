"""Estimate the Pareto fronts of the regimes."""

from entr.analysis.pareto_front import write_fronts
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
write_fronts(snakemake.input[0], snakemake.params.control, table=snakemake.output[0])
