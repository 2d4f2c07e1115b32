"""Time the finished networks of a dataset and model."""

from entr import guards, inference

guards.report_to(snakemake.log[0])
inference.benchmark_finished(
    snakemake.wildcards.dataset,
    snakemake.wildcards.model,
    dict(zip(snakemake.params.sizes, snakemake.input, strict=True)),
    snakemake.params.sizes,
    snakemake.output[0],
    **snakemake.params.timing,
)
