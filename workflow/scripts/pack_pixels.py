"""Pack the small images of a dataset as pixels."""

from entr import guards, images

guards.report_to(snakemake.log[0])
images.pack(snakemake.input.images, snakemake.input.manifest, snakemake.output[0])
