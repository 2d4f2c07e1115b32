"""Bring the first weights of a network to one place."""

from entr import guards, weights

guards.report_to(snakemake.log[0])
weights.fetch(
    snakemake.wildcards.model,
    snakemake.output[0],
    snakemake.config["download"],
    file=next(iter(snakemake.input), None),
    sha256=snakemake.params.sha256 or None,
)
