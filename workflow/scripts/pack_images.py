"""Pack the downscaled images of a dataset into one array."""

from entr.data.pack import pack_images
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
pack_images(snakemake.input.images, snakemake.input.manifest, snakemake.output[0])
