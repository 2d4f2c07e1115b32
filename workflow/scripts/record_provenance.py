"""Record the configuration, the code, the machine and the software of a finished run."""

from entr.jobs.logs import configure_logging
from entr.report.provenance import write_provenance

configure_logging(snakemake.log[0])
write_provenance(
    snakemake.input.cells,
    [snakemake.input.page, *snakemake.input.models],
    metrics=snakemake.params.metrics,
    configuration=snakemake.params.configuration,
    code=snakemake.params.digests,
    citation=snakemake.params.citation,
    destination=snakemake.output[0],
)
