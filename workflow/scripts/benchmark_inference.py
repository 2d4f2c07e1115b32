"""Benchmark the forward pass of a model at each image size of the grid."""

from entr.jobs.logs import configure_logging
from entr.training.lazy_imports import lazy_imports

with lazy_imports():
    from entr.benchmark.inference import benchmark_model

configure_logging(snakemake.log[0])
benchmark_model(
    snakemake.wildcards.model,
    snakemake.params.sizes,
    snakemake.output[0],
    batch_sizes=snakemake.params.batch_sizes,
    **snakemake.params.timing,
)
