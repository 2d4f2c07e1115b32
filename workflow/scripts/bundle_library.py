"""Bundle the JavaScript that draws the figures in a browser."""

from entr import guards, pages

guards.report_to(snakemake.log[0])
pages.bundle(snakemake.output[0])
