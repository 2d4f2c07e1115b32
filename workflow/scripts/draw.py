"""Draw one figure."""

from pathlib import Path

from entr import guards
from entr.figures.drawing import draw
from entr.figures.results import Results

guards.report_to(snakemake.log[0])
shared = {name: snakemake.params[name] for name in ("datasets", "models", "regimes", "control", "basis", "plans")}
# by dataset, or none
images = dict(zip(snakemake.params.datasets, snakemake.input.images, strict=False))
draw(
    snakemake.wildcards.figure,
    snakemake.params.figure,
    Results.read(snakemake.input.tables, images=images, **shared),
    library=snakemake.input.library,
    folder=Path(snakemake.output.html).parent,
)
