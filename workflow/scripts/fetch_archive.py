"""Download and unpack the archive of a dataset."""

from entr.data.sources.archive import fetch_archive
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
fetch_archive(
    snakemake.wildcards.dataset,
    snakemake.config["datasets"][snakemake.wildcards.dataset],
    snakemake.output[0],
    snakemake.config["download"],
    f"checksums/datasets/{snakemake.wildcards.dataset}.csv",
)
