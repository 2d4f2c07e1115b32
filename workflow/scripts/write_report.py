"""Write the page that a reader opens first."""

from entr import guards, report

guards.report_to(snakemake.log[0])
asked = ("gallery", "study", "configuration", "citation")
report.write(
    snakemake.input.verdict,
    snakemake.input.specs,
    snakemake.input.tables,
    recommendation=snakemake.input.recommendation,
    library=snakemake.input.library,
    page=snakemake.output[0],
    **{name: snakemake.params[name] for name in asked},
)
