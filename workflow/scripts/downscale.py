"""Downscale the original images of a dataset."""

from entr.data.downscale import downscale_dataset
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
downscale_dataset(snakemake.input[0], snakemake.params.images, snakemake.threads, **dict(snakemake.output.items()))
