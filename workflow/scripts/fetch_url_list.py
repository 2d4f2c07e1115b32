"""Download the images of a URL list."""

from entr.data.sources.url_list import fetch_url_list
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
fetch_url_list(
    snakemake.wildcards.dataset,
    snakemake.config["datasets"][snakemake.wildcards.dataset],
    snakemake.output[0],
    snakemake.config["download"],
    f"checksums/datasets/{snakemake.wildcards.dataset}.csv",
)
