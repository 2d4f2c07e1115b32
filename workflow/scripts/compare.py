"""Compare every regime with the control."""

from entr import guards, statistics

guards.report_to(snakemake.log[0])
statistics.write(
    snakemake.input.cells,
    snakemake.params.control,
    snakemake.params.folds,
    efficiency=snakemake.output.efficiency,
    effects=snakemake.output.effects,
)
