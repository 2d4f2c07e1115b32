"""Judge the hypothesis and the paper's claims."""

from entr import guards, verdict

guards.report_to(snakemake.log[0])
verdict.write(
    **snakemake.input,
    settings=snakemake.params.settings,
    claims_table=snakemake.output.claims,
    verdict=snakemake.output.verdict,
)
