"""Bring the originals of a dataset to one place."""

from entr import guards, sources

guards.report_to(snakemake.log[0])
sources.fetch(snakemake.wildcards.dataset, snakemake.params.source, snakemake.output[0], snakemake.threads)
