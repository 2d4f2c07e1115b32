"""Write the paper of a finished run."""

from pathlib import Path

from entr.config.study_design import StudyDesign
from entr.jobs.logs import configure_logging
from entr.report.paper import write_paper

configure_logging(snakemake.log[0])
write_paper(
    snakemake.input.tables,
    snakemake.input.metrics,
    snakemake.input.inference,
    snakemake.input.figures,
    design=StudyDesign(**snakemake.params.study),
    title=snakemake.params.title,
    protocol=snakemake.input.get("protocol") or None,
    citation=snakemake.params.citation,
    folder=Path(snakemake.output[0]),
)
