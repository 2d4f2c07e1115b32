"""Download the originals of a dataset, link by link."""

from entr import guards, links

guards.report_to(snakemake.log[0])
links.fetch(
    snakemake.wildcards.dataset,
    snakemake.config["datasets"][snakemake.wildcards.dataset],
    snakemake.output[0],
    snakemake.config["download"],
)
