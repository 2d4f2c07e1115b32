"""Aggregate the histories, learning-rate curves and predictions of all cells."""

from entr.analysis.histories import write_histories
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
write_histories(**snakemake.input, outputs=dict(snakemake.output.items()))
