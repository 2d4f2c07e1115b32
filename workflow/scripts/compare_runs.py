"""Compare two finished runs: configuration, code, machine, images, predictions and results."""

from entr.jobs.logs import configure_logging
from entr.report.run_comparison import write_comparison

configure_logging(snakemake.log[0], terminal=True)
write_comparison(snakemake.params.before, snakemake.params.after, folder=snakemake.params.folder)
