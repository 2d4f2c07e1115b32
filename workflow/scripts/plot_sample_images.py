"""Plot an image of each class: Fig. 2."""

from pathlib import Path

from entr.figures.sample_images import plot_sample_images
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
plot_sample_images(
    snakemake.params.titles,
    {Path(path).parent.name: path for path in snakemake.input.manifests},
    {Path(path).parent.name: path for path in snakemake.input.images},
    snakemake.params.figure,
    table=snakemake.output.table,
    library=snakemake.input.library,
    folder=Path(snakemake.output.html).parent,
)
