"""Render the originals of a dataset."""

from entr import guards, micrographs

guards.report_to(snakemake.log[0])
micrographs.fetch(
    snakemake.wildcards.dataset,
    snakemake.config["datasets"][snakemake.wildcards.dataset],
    snakemake.output[0],
    snakemake.threads,
)
