"""Link the images of a user's directory."""

from entr.data.sources.folder import link_folder
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
link_folder(snakemake.wildcards.dataset, snakemake.config["datasets"][snakemake.wildcards.dataset], snakemake.output[0])
