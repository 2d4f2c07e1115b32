"""Download a dataset with torchvision."""

from entr.data.sources.torchvision_datasets import fetch_torchvision
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
fetch_torchvision(
    snakemake.wildcards.dataset,
    snakemake.config["datasets"][snakemake.wildcards.dataset],
    snakemake.output[0],
    snakemake.config["download"],
    f"checksums/datasets/{snakemake.wildcards.dataset}.csv",
)
