"""Export the network to take home."""

from entr import best, guards

guards.report_to(snakemake.log[0])
best.write(
    snakemake.input.recommendation,
    snakemake.wildcards.dataset,
    "results/cells",
    snakemake.params.about,
    snakemake.output[0],
)
