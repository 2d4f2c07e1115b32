"""Estimate how long the grid will take."""

from entr import estimates, guards

guards.report_to(snakemake.log[0])
names = list(snakemake.params.plans)
given = {
    name: {kind: snakemake.input[kind][number] for kind in ("pixels", "manifest", "split")}
    for number, name in enumerate(names)
}
estimates.write(
    snakemake.params.cells,
    snakemake.params.plans,
    given,
    dict(zip(snakemake.params.models, snakemake.input.weights, strict=False)),
    snakemake.params.benchmark_seconds,
    snakemake.params.table,
)
