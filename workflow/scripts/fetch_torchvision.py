"""Have torchvision download the originals of a dataset."""

from entr import guards, torchvision_sets

guards.report_to(snakemake.log[0])
torchvision_sets.fetch(
    snakemake.wildcards.dataset,
    snakemake.config["datasets"][snakemake.wildcards.dataset],
    snakemake.output[0],
    snakemake.config["download"],
)
