"""Export the recommended model of a dataset."""

from entr.deploy.export import export_model
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
export_model(
    snakemake.input.recommendation,
    snakemake.wildcards.dataset,
    snakemake.input.models,
    snakemake.params.card,
    snakemake.output[0],
)
