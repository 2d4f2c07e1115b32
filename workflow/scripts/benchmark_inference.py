"""Time the forward pass of a network at a size."""

from entr import guards, inference

guards.report_to(snakemake.log[0])
inference.benchmark(
    snakemake.wildcards.model,
    int(snakemake.wildcards.size),
    snakemake.output[0],
    batch_sizes=snakemake.params.batch_sizes,
    **snakemake.params.timing,
)
