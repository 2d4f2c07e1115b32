"""Report which cells are finished, running, interrupted and pending, and analyse those that are finished."""

from entr.config.study_design import StudyDesign
from entr.jobs.logs import configure_logging
from entr.report.grid_progress import write_progress

configure_logging(snakemake.log[0], terminal=True)
write_progress(
    snakemake.params.metrics,
    snakemake.params.inference,
    snakemake.params.trained,
    design=StudyDesign(**snakemake.params.study),
    plans=snakemake.params.plans,
    match=snakemake.params.match,
    checkpoints=snakemake.params.checkpoints,
    folder=snakemake.params.folder,
)
