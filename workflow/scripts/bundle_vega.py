"""Bundle the JavaScript that draws the figures in a browser."""

from entr.figures.html_pages import bundle_vega
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
bundle_vega(snakemake.output[0])
