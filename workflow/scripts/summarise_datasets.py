"""Summarise the datasets: Table 1."""

from entr.data.summary import summarise_datasets
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
summarise_datasets(snakemake.params.entries, **snakemake.input, destination=snakemake.output[0])
