"""Download and unpack the originals of a dataset."""

from entr import archives, guards

guards.report_to(snakemake.log[0])
archives.fetch(
    snakemake.wildcards.dataset,
    snakemake.config["datasets"][snakemake.wildcards.dataset],
    snakemake.output[0],
    snakemake.config["download"],
)
