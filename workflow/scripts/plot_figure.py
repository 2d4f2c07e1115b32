"""Plot one figure."""

from pathlib import Path

from entr.config.study_design import StudyDesign
from entr.figures.figure_data import FigureData
from entr.figures.render import plot_figure
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
plot_figure(
    snakemake.wildcards.figure,
    snakemake.params.figure,
    FigureData.read(
        snakemake.input.tables,
        StudyDesign(**snakemake.params.study),
        plans=snakemake.params.plans,
        images={Path(path).parent.name: path for path in snakemake.input.images},
    ),
    library=snakemake.input.library,
    folder=Path(snakemake.output.html).parent,
)
