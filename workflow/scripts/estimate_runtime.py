"""Estimate the runtime of the grid."""

from pathlib import Path

from entr.jobs.logs import configure_logging
from entr.training.lazy_imports import lazy_imports

with lazy_imports():
    from entr.benchmark.runtime_estimate import write_estimate

configure_logging(snakemake.log[0], terminal=True)
write_estimate(
    snakemake.params.metrics,
    snakemake.params.plans,
    pixels={Path(path).parent.name: path for path in snakemake.input.pixels},
    manifest={Path(path).parent.name: path for path in snakemake.input.manifest},
    split={Path(path).parents[1].name: path for path in snakemake.input.split},
    weights={Path(path).stem: path for path in snakemake.input.get("weights", ())},
    **snakemake.params.inference,
    control=snakemake.params.control,
    match=snakemake.params.match,
    table=snakemake.params.table,
)
