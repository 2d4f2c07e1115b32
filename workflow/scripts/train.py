"""Train one cell."""

from pathlib import Path

from entr import guards, measures, regimes, training

guards.report_to(snakemake.log[0])
training.train_cell(
    measures.Cell(**snakemake.wildcards, weights=snakemake.params.weights),
    regimes.Plan.model_validate(snakemake.params.plan),
    pixels=snakemake.input.pixels,
    manifest=snakemake.input.manifest,
    split=snakemake.input.split,
    weights=snakemake.input.get("weights") or None,
    folder=Path(snakemake.output.metrics).parent,
    checkpoint=snakemake.params.checkpoint,
    code=snakemake.params.code,
)
