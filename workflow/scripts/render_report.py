"""Render the report."""

from entr.config.study_design import StudyDesign
from entr.jobs.logs import configure_logging
from entr.report.page import write_report

configure_logging(snakemake.log[0])
write_report(
    **snakemake.input,
    design=StudyDesign(**snakemake.params.study),
    catalogue=snakemake.params.catalogue,
    configuration=snakemake.params.configuration,
    citation=snakemake.params.citation,
    page=snakemake.output[0],
)
