"""Measure the time to accuracy of the regimes."""

from entr.analysis.time_to_accuracy import write_times_to_accuracy
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
write_times_to_accuracy(
    **snakemake.input,
    control=snakemake.params.control,
    folds=snakemake.params.folds,
    **dict(snakemake.output.items()),
)
