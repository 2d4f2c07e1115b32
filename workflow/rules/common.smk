import sys
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.append(str(Path(workflow.basedir, "workflow", "scripts")))

from entr import failures
from entr.config import checked
from entr.figures.gallery import GALLERY, SAMPLES
from entr.folders import listing_digest
from entr.guards import EntrError
from entr.limits import IN_LISTS
from entr.provenance import code_digest

BEGUN = time.time()
FIGURES = [name for name in GALLERY if name != SAMPLES]
# filled in by the pages of figures and by the report
PAGE = (
    "../report/figure.html.j2",
    "../report/style.css",
    "../report/embed.js",
)
REPORT = (
    "../report/report.html.j2",
    "../report/style.css",
    "../report/embed.js",
    "../report/sort.js",
)

try:
    # files of the command line come first in the list, but are laid over the others
    given = workflow.overwrite_configfiles
    own = [path for path in workflow.configfiles if path not in given]
    settings = checked(config, [*own, *given])
except EntrError as error:
    raise WorkflowError(str(error)) from None

grid = settings.grid

# of this machine, for jobs that use all; a cluster's are not known, and its profile sets threads
CORES = workflow.resource_settings.cores or 1
# read by jobs from here and not from params: neither patience nor another mirror makes a result stale
config["download"] = settings.download.model_dump()
config["logging"] = settings.logging
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


def growing(first):
    """Return what a job asks for: more in each attempt, after it was too little."""

    def asked(wildcards, attempt):
        return first * attempt

    return asked


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


def study():
    """Return what was to be run, for the verdict."""
    entries = {name: settings.datasets[name] for name in grid.datasets}
    return {
        "datasets": {name: entry.title or name for name, entry in entries.items()},
        "stands_for": {name: entry.stands_for for name, entry in entries.items()},
        "models": grid.models,
        "regimes": grid.regimes,
        "seeds": grid.seeds,
        "control": settings.control,
        "basis": settings.time_basis,
        "folds": settings.split.folds,
    }


def tables_of(wildcards):
    """Return the tables that a figure is drawn from."""
    return collect("results/tables/{table}.csv", table=GALLERY[wildcards.figure].tables)


def images_of(wildcards):
    """Return the folders of images that a figure shows, if it shows any."""
    return (
        collect("results/data/{dataset}/images", dataset=grid.datasets)
        if GALLERY[wildcards.figure].shows_images
        else []
    )


def plans_of_figure(wildcards):
    """Return how each regime is configured, for the figure that shows it."""
    datasets = grid.datasets if GALLERY[wildcards.figure].shows_plans else []
    return {
        dataset: {
            regime: settings.plan(dataset, regime).plain() for regime in grid.regimes
        }
        for dataset in datasets
    }


def code_of_figure(wildcards):
    """Return a digest of what draws a figure, so that a change redraws those of its own subject."""
    subject = f"entr/figures/{GALLERY[wildcards.figure].module}.py"
    return code_digest("draw", subject, *PAGE)


def every_cell():
    """Return each cell of the grid, and where its metrics are or will be."""
    names = {
        "dataset": grid.datasets,
        "model": grid.models,
        "regime": grid.regimes,
        "seed": grid.seeds,
    }
    cells = [dict(zip(names, values)) for values in product(*names.values())]
    place = "results/cells/{dataset}/{model}/{regime}/seed{seed}/metrics.json"
    return [{**cell, "metrics": place.format(**cell)} for cell in cells]


def plans_by_dataset():
    """Return how the cells of each dataset and regime are trained."""
    return {
        dataset: {
            regime: settings.plan(dataset, regime).plain() for regime in grid.regimes
        }
        for dataset in grid.datasets
    }


def benchmark_seconds():
    """Return the seconds that the inference benchmark is asked to time, in latency and in throughput."""
    jobs = len(grid.models) * (len(settings.sizes()) + len(grid.datasets))
    return (
        2 * jobs * len(settings.inference.batch_sizes) * settings.inference.min_seconds
    )


def about_data(wildcards):
    """Return what a model card says of the data, and how images are reduced before anything else."""
    entry = settings.datasets[wildcards.dataset]
    return {
        "title": entry.title or wildcards.dataset,
        "licence": entry.licence,
        "citation": entry.citation,
        "images": settings.images.model_dump(exclude={"folder"}),
    }


def configuration():
    """Return the configuration of this grid, without where files lie on this machine."""
    plain = settings.model_dump(mode="json", exclude_none=True)
    for part in ("datasets", "regimes"):
        plain[part] = {name: plain[part][name] for name in plain["grid"][part]}
    for entry in plain["datasets"].values():
        if entry.get("path"):
            entry["path"] = Path(entry["path"]).name
    plain["weights"] = Path(plain["weights"]).name
    return plain


def tell_failures(logs):
    """Say which jobs failed, why, and how each is made again; forget those of an earlier run."""
    targets = workflow.dag_settings.targets
    found = failures.summary(logs, BEGUN, sys.argv[1:], targets)
    print(failures.tell(found, "results/failed.txt"), file=sys.stderr)
