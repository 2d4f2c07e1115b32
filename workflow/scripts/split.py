"""Split a dataset into training, validation and test images."""

from entr.data.split import split_dataset
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
split_dataset(snakemake.input[0], snakemake.output[0], seed=int(snakemake.wildcards.seed), **snakemake.params.settings)
