"""Aggregate the metrics of all cells."""

from entr.analysis.aggregation import write_metrics
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
write_metrics(**snakemake.input, control=snakemake.params.control, outputs=dict(snakemake.output.items()))
