"""Show the errors of the recommended model of a dataset, and images that may be mislabelled."""

from entr.config.study_design import StudyDesign
from entr.jobs.logs import configure_logging
from entr.report.error_analysis import write_error_analysis

configure_logging(snakemake.log[0])
write_error_analysis(
    **snakemake.input,
    dataset=snakemake.wildcards.dataset,
    design=StudyDesign(**snakemake.params.study),
    tested=snakemake.params.tested,
    outputs=dict(snakemake.output.items()),
)
