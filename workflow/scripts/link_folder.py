"""Link the originals of a dataset to a folder of the user's."""

from entr import guards, sources

guards.report_to(snakemake.log[0])
sources.link(
    snakemake.wildcards.dataset, snakemake.config["datasets"][snakemake.wildcards.dataset], snakemake.output[0]
)
