"""Train one cell."""

from pathlib import Path

from entr.config.epochs_file import read_epochs
from entr.config.training_plan import Plan
from entr.jobs.logs import configure_logging
from entr.metrics.cell_metrics import Cell
from entr.training.lazy_imports import lazy_imports

with lazy_imports():
    from entr.training.cell import train_cell

configure_logging(snakemake.log[0])
cell = Cell(**snakemake.wildcards, weights=snakemake.params.weights)
plan = Plan.model_validate(snakemake.params.plan)
if epochs := snakemake.input.get("epochs"):
    plan = plan.with_epochs(read_epochs(epochs, cell.regime))
train_cell(
    cell,
    plan,
    pixels=snakemake.input.pixels,
    manifest=snakemake.input.manifest,
    split=snakemake.input.split,
    weights=snakemake.input.get("weights") or None,
    folder=Path(snakemake.output.metrics).parent,
    checkpoint=snakemake.params.checkpoint,
    code=snakemake.params.code,
    # from `config`, because a logger must not make results stale
    tensorboard=cell.folder("results/tensorboard") if snakemake.config["logger"] == "tensorboard" else None,
)
