"""Divide a dataset into training and validation."""

from entr import guards, splits

guards.report_to(snakemake.log[0])
splits.split(snakemake.input[0], snakemake.output[0], seed=int(snakemake.wildcards.seed), folds=snakemake.params.folds)
