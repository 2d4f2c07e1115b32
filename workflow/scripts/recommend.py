"""Select the recommended model."""

from entr.config.study_design import StudyDesign
from entr.jobs.logs import configure_logging
from entr.report.recommendation import write_recommendation

configure_logging(snakemake.log[0])
write_recommendation(
    **snakemake.input,
    design=StudyDesign(**snakemake.params.study),
    limits=snakemake.params.limits,
    tested=snakemake.params.tested,
    budget=snakemake.params.budget,
    exported=snakemake.params.exported,
    outputs=dict(snakemake.output.items()),
)
