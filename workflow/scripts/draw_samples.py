"""Draw an image of each class: Fig. 2."""

from pathlib import Path

from entr import guards, samples

guards.report_to(snakemake.log[0])
samples.draw(
    snakemake.params.titles,
    snakemake.input.manifests,
    snakemake.input.images,
    snakemake.params.figure,
    table=snakemake.output.table,
    library=snakemake.input.library,
    folder=Path(snakemake.output.html).parent,
)
