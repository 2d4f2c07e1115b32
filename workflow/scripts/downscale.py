"""Reduce the originals of a dataset to small images."""

from entr import guards, images

guards.report_to(snakemake.log[0])
images.downscale(
    snakemake.input[0],
    snakemake.params.images,
    snakemake.threads,
    **dict(snakemake.output.items()),
)
