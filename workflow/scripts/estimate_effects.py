"""Estimate the effect of every regime relative to the control."""

from entr.analysis.paired_effects import write_effects
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
write_effects(snakemake.input[0], snakemake.params.control, snakemake.params.folds, **dict(snakemake.output.items()))
