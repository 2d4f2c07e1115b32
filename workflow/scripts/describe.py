"""Describe the datasets: Table 1."""

from entr import datasets, guards

guards.report_to(snakemake.log[0])
datasets.describe(
    snakemake.params.entries,
    snakemake.input.manifests,
    snakemake.input.rejected,
    snakemake.input.pairs,
    snakemake.output[0],
)
