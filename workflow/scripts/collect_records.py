"""Join what all cells recorded."""

from entr import guards, records

guards.report_to(snakemake.log[0])
records.write(**snakemake.input, tables=dict(snakemake.output.items()))
