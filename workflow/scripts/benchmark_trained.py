"""Benchmark the trained models of a dataset and architecture."""

from entr.jobs.logs import configure_logging
from entr.jobs.paths import cell_of
from entr.metrics.cell_files import verify_files
from entr.training.lazy_imports import lazy_imports

with lazy_imports():
    from entr.benchmark.inference import benchmark_trained

configure_logging(snakemake.log[0])
verify_files(snakemake.input.models)
benchmark_trained(
    snakemake.wildcards.dataset,
    snakemake.wildcards.model,
    {cell_of(path)["regime"]: path for path in snakemake.input.models},
    snakemake.params.sizes,
    snakemake.output[0],
    **snakemake.params.timing,
)
