"""Render the synthetic micrographs of a dataset."""

from entr.data.sources.synthetic_micrographs import render_micrographs
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
render_micrographs(
    snakemake.wildcards.dataset,
    snakemake.config["datasets"][snakemake.wildcards.dataset],
    snakemake.output[0],
    snakemake.threads,
)
