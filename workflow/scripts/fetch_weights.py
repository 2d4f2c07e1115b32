"""Fetch the ImageNet weights of a network."""

from entr import guards, networks

guards.report_to(snakemake.log[0])
networks.fetch_weights(snakemake.wildcards.model, snakemake.output[0])
