"""Train one cell."""

from pathlib import Path

from entr import guards, measures, regimes, training

guards.report_to(snakemake.log[0])
cell = measures.Cell(**snakemake.wildcards, weights=snakemake.params.weights)
place = Path("results", "tensorboard", cell.dataset, cell.model, cell.regime, f"seed{cell.seed}")
training.train_cell(
    cell,
    regimes.Plan.model_validate(snakemake.params.plan),
    pixels=snakemake.input.pixels,
    manifest=snakemake.input.manifest,
    split=snakemake.input.split,
    weights=snakemake.input.get("weights") or None,
    folder=Path(snakemake.output.metrics).parent,
    checkpoint=snakemake.params.checkpoint,
    code=snakemake.params.code,
    # no parameter: what is logged beside makes no result stale
    board=place if snakemake.config["logging"] == "tensorboard" else None,
)
