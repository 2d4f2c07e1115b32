"""Time the forward pass of a network at a size."""

from entr import guards, inference

guards.report_to(snakemake.log[0])
inference.benchmark(
    snakemake.wildcards.model,
    snakemake.params.sizes,
    snakemake.output[0],
    **snakemake.params.inference,
    device=snakemake.params.device,
)
