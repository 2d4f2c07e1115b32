"""Fit the epochs of each regime, so that all are trained for the same time."""

from entr.jobs.logs import configure_logging
from entr.training.lazy_imports import lazy_imports

with lazy_imports():
    from entr.benchmark.equal_time import fit_and_write

configure_logging(snakemake.log[0])
fit_and_write(
    snakemake.output[0],
    snakemake.params.plans,
    snakemake.params.control,
    dataset=snakemake.wildcards.dataset,
    model=snakemake.wildcards.model,
    pixels=snakemake.input.pixels,
    manifest=snakemake.input.manifest,
    split=snakemake.input.split,
    weights=snakemake.input.get("weights") or None,
)
