"""Collect the tables of all cells."""

from entr import guards, tables

guards.report_to(snakemake.log[0])
tables.write(
    snakemake.input.metrics,
    snakemake.input.inference,
    snakemake.input.finished,
    snakemake.params.control,
    cells=snakemake.output.cells,
    summary=snakemake.output.summary,
    runs=snakemake.output.runs,
)
