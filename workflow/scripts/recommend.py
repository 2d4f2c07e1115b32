"""Choose the network to take home."""

from entr import guards, recommend

guards.report_to(snakemake.log[0])
recommend.write(
    snakemake.input.cells,
    snakemake.input.summary,
    settings=snakemake.params.settings,
    limits=snakemake.params.limits,
    table=snakemake.output.table,
    text=snakemake.output.text,
)
