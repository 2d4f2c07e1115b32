import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.append(str(Path(workflow.basedir, "workflow", "scripts")))

from entr.config import checked
from entr.folders import listing_digest
from entr.guards import EntrError
from entr.limits import IN_LISTS
from entr.provenance import code_digest

FIGURES = ["fig4", "fig5"]

try:
    # files of the command line come first in the list, but are laid over the others
    given = workflow.overwrite_configfiles
    own = [path for path in workflow.configfiles if path not in given]
    settings = checked(config, [*own, *given])
except EntrError as error:
    raise WorkflowError(str(error)) from None

grid = settings.grid
# read by jobs from here and not from params: neither patience nor another mirror makes a result stale
config["download"] = settings.download.model_dump()
config["datasets"] = {
    name: dataset.model_dump(mode="json") for name, dataset in settings.datasets.items()
}


wildcard_constraints:
    dataset="|".join(settings.datasets),
    model="|".join(grid.models),
    regime="|".join(settings.regimes),
    seed=r"\d+",
    size=r"\d+",
    figure="|".join(FIGURES),


def of_source(*sources):
    """Return a pattern of the datasets that come from some kinds of source; of none, it never fits."""
    datasets = settings.datasets.items()
    names = [name for name, dataset in datasets if dataset.source in sources]
    return "|".join(names) or "(?!)"


def source_of(wildcards):
    """Return the part of a dataset's entry that decides which images it has."""
    return settings.datasets[wildcards.dataset].origin()


def path_of(wildcards):
    """Return the archive or list of a dataset, if it lies on this machine."""
    return settings.datasets[wildcards.dataset].path or []


def listing_of(wildcards):
    """Return a digest of the names, sizes and times of a user's images."""
    return listing_digest(settings.datasets[wildcards.dataset].path)


def plan_of(wildcards):
    """Return how a cell is trained, with every setting that its result depends on."""
    return settings.plan(wildcards.dataset, wildcards.regime).plain()


def final_sizes_of(wildcards):
    """Return the side in px that each regime ends with, by its name."""
    return {
        regime: settings.plan(wildcards.dataset, regime).steps[-1].size
        for regime in grid.regimes
    }


def weights_of(wildcards):
    """Return the file of a network's first weights, if it has any."""
    return (
        []
        if settings.weights == "none"
        else f"results/weights/{wildcards.model}.safetensors"
    )


def weights_file_of(wildcards):
    """Return the user's file that a network's first weights come from, if they do."""
    return settings.weights_file(wildcards.model) or []


def weights_name_of(wildcards):
    """Return what a cell's results call its first weights."""
    file = settings.weights_file(wildcards.model)
    return Path(file).name if file else settings.weights


def sha256_of(wildcards):
    """Return what the checksum of a network's file of weights must be, if that is configured."""
    return settings.weights_sha256.get(wildcards.model, "")
