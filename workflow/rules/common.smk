import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.append(str(Path(workflow.basedir, "workflow", "scripts")))

from entr.config import checked
from entr.guards import EntrError
from entr.provenance import code_digest
from entr.sources import listing_digest

FIGURES = ["fig4", "fig5"]

try:
    # files of the command line come first in the list, but are laid over the others
    given = workflow.overwrite_configfiles
    own = [path for path in workflow.configfiles if path not in given]
    settings = checked(config, [*own, *given])
except EntrError as error:
    raise WorkflowError(str(error)) from None

grid = settings.grid


wildcard_constraints:
    dataset="|".join(settings.datasets),
    model="|".join(grid.models),
    regime="|".join(settings.regimes),
    seed=r"\d+",
    figure="|".join(FIGURES),


def source_of(wildcards):
    """Return the part of a dataset's entry that decides which images it has."""
    dataset = settings.datasets[wildcards.dataset]
    return dataset.model_dump(include={"source", "path", "seed", "images_per_class"})


def listing_of(wildcards):
    """Return a digest of the names and sizes of a user's images."""
    path = settings.datasets[wildcards.dataset].path
    return listing_digest(path) if path else ""


def plan_of(wildcards):
    """Return how a cell is trained, with every setting that its result depends on."""
    return settings.plan(wildcards.dataset, wildcards.regime).plain()


def weights_of(wildcards):
    """Return the file of a network's first weights, if it has any."""
    return (
        []
        if settings.weights == "none"
        else f"results/weights/{wildcards.model}.safetensors"
    )
