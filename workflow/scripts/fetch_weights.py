"""Fetch the pretrained weights of a model."""

from entr.jobs.logs import configure_logging
from entr.training.lazy_imports import lazy_imports

with lazy_imports():
    from entr.models.pretrained import fetch_weights

configure_logging(snakemake.log[0])
fetch_weights(
    snakemake.params.model,
    snakemake.output[0],
    snakemake.config["download"],
    f"checksums/weights/{snakemake.params.model}.csv",
    file=next(iter(snakemake.input), None),
    sha256=snakemake.params.sha256 or None,
)
