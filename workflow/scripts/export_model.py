"""Export the recommended model of a dataset."""

from entr.jobs.logs import configure_logging
from entr.training.lazy_imports import lazy_imports

with lazy_imports():
    from entr.deploy.export import export_model

configure_logging(snakemake.log[0])
export_model(
    snakemake.input.recommendation,
    snakemake.wildcards.dataset,
    snakemake.input.models,
    snakemake.params.card,
    snakemake.output[0],
    images=snakemake.input.get("images"),
    split=snakemake.input.get("split"),
)
