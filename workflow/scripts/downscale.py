"""Downscale the original images of a dataset."""

from entr.data.downscale import downscale_dataset
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
settings = snakemake.params.images | {"max_rejected_fraction": snakemake.config["max_rejected_fraction"]}
downscale_dataset(snakemake.input[0], settings, snakemake.threads, **dict(snakemake.output.items()))
