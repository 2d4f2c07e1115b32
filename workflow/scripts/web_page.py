"""Write the web pages that classify images with the exported models."""

from entr.deploy.web_page import write_web_page
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0], terminal=True)
for folder, title in zip(snakemake.input.models, snakemake.params.titles, strict=True):
    write_web_page(folder, title, snakemake.input.javascript, snakemake.input.webassembly)
