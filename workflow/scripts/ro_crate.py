"""Write a Workflow Run RO-Crate of a finished run, for an archive such as Zenodo."""

from entr.jobs.logs import configure_logging
from entr.report.ro_crate import write_crate

configure_logging(snakemake.log[0], terminal=True)
write_crate(
    snakemake.input.provenance,
    snakemake.input.results,
    citation=snakemake.params.citation,
    statements=snakemake.params.statements,
    destination=snakemake.output[0],
)
