"""Evaluate the hypothesis and the claims of the paper."""

from entr.config.study_design import StudyDesign
from entr.jobs.logs import configure_logging
from entr.report.verdict import write_verdict

configure_logging(snakemake.log[0])
write_verdict(**snakemake.input, design=StudyDesign(**snakemake.params.study), outputs=dict(snakemake.output.items()))
