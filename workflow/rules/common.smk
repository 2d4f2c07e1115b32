import atexit
import sys
from functools import partial
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

# before other packages of this name, so that the code that runs is the code that digests describe
sys.path.insert(0, str(Path(workflow.basedir, "workflow", "scripts")))

from entr.config import model_check
from entr.config.download_settings import IN_URL_LISTS
from entr.config.validation import validate_config
from entr.data.image_folder import listing_digest
from entr.figures.catalogue import CATALOGUE, PAPER_FIGURES, SAMPLE_IMAGES
from entr.jobs.code_digest import code_digest
from entr.jobs.errors import EntrError
from entr.jobs.paths import CELL

FIGURES = [name for name in CATALOGUE if name != SAMPLE_IMAGES]


include: "budget.smk"


try:
    # the command line's files come first in workflow.configfiles but override the others
    cli_files = workflow.overwrite_configfiles
    own_files = [path for path in workflow.configfiles if path not in cli_files]
    configured = validate_config(config, [*own_files, *cli_files])
    if workflow.is_main_process:
        model_check.check_models(configured.grid.models)
    chosen = read_or_choose_budget() if configured.hours else None
    settings = budget.within_budget(configured, chosen)
except EntrError as error:
    raise WorkflowError(str(error)) from None

budget_lines = budget.describe(configured, chosen)
if workflow.is_main_process and budget_lines and not budget.is_requested_by_a_run():
    # after the long plan of a dry run
    say = partial(print, *budget_lines, sep="\n", file=sys.stderr)
    atexit.register(say) if workflow.output_settings.dryrun else say()

# an archived run has no images
SHOWN = [name for name in CATALOGUE if not (settings.archive and name == SAMPLE_IMAGES)]

grid = settings.grid
study = settings.study().model_dump()
GRID = {
    "dataset": grid.datasets,
    "model": grid.models,
    "regime": grid.regimes,
    "seed": grid.seeds,
}
# this machine's, for jobs that use all cores; a cluster profile sets threads per rule
CORES = workflow.resource_settings.cores or 1
# timed jobs run one at a time, or at most as many as there are GPUs
GPUS = workflow.resource_settings.resources.get("gpu").value or 1
CORES_PER_TIMED_JOB = max(1, CORES // GPUS)

# Jobs read these from `config` and not from `params`, because they must not make results stale:
# patience and mirrors of downloads, the local copy of a verified file, how many files may be rejected, and the logger.
config["download"] = settings.download.model_dump()
config["max_rejected_fraction"] = settings.images.max_rejected_fraction
config["logger"] = settings.logger
config["onnxruntime_web"] = settings.onnxruntime_web.model_dump(mode="json")
config["datasets"] = {
    name: dataset.model_dump(mode="json") for name, dataset in settings.datasets.items()
}


pathvars:
    cell=CELL,


def of_cells(file, **wildcards):
    """Return a file of every cell of the grid, or of those cells that the given wildcards name.

    If cells are copied from an archived run, only those that it contains.
    """
    files = collect(f"{CELL}/{file}", **GRID | wildcards)
    return (
        archived_cells.select_archived(archived, files) if settings.archive else files
    )


def scale_with_attempt(amount):
    """Return a resource that grows with each attempt, because the last one may have run out of it."""

    def scaled(wildcards, attempt):
        return amount * attempt

    return scaled


def datasets_from(*sources):
    """Return a wildcard pattern of the datasets with these kinds of source; it matches nothing if there are none."""
    names = [
        name for name, dataset in settings.datasets.items() if dataset.source in sources
    ]
    return "|".join(names) or "(?!)"


def weights_of(wildcards):
    """Return the initial weights of a model, unless it is randomly initialised."""
    return [] if settings.weights == "none" else "results/weights/{model}.safetensors"


def study_of(wildcards):
    """Return the study that a figure shows; seeds do not concern one that shows only the configuration."""
    return study if CATALOGUE[wildcards.figure].tables else study | {"seeds": ()}


def tables_of(wildcards):
    """Return the tables that a figure is drawn from."""
    return collect(
        "results/tables/{table}.csv", table=CATALOGUE[wildcards.figure].tables
    )


def images_of(wildcards):
    """Return the image directories that a figure shows, by dataset."""
    shows_images = CATALOGUE[wildcards.figure].shows_images and not settings.archive
    shown = grid.datasets if shows_images else []
    return collect("results/data/{dataset}/images", dataset=shown)


def plans_of(wildcards):
    """Return how the regimes of each dataset are configured, for a figure that shows it."""
    shown = grid.datasets if CATALOGUE[wildcards.figure].shows_plans else []
    return {dataset: settings.plans(dataset) for dataset in shown}


def digests_by_rule():
    """Return the code digest of each rule that is defined so far, apart from those that fetch images.

    Images are identified by the checksums in their manifest, whatever fetched them.
    """
    digests = {
        one.name: one.params.code
        for one in workflow.rules
        if "code" in one.params.keys() and Path(one.snakefile).name != "fetch.smk"
    }
    figures = [figure.source for figure in CATALOGUE.values()]
    return digests | {"plot_figure": code_digest("plot_figure", *figures)}


def switch_off_default_rate_limit():
    """Remove Snakemake's limit of 100 jobs per second, unless another one was given on the command line.

    With the limit, Snakemake 9.27 starts a thread with every job that finishes, and each of them plans the rest of the
    grid every second until the run ends. The limit also counts by the system clock: after that is set back, no job would
    start until it has caught up.
    """
    limiter = workflow.scheduler.job_rate_limiter
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def log_finished_jobs():
    """Log each finished job with --quiet, too, because the checksums of its results are recorded then."""
    workflow.scheduler.print_progress = True


def keep_going(record):
    """Let the other jobs of a group run after one has failed, from the start of the run of the group.

    Snakemake passes --keep-going to no run that it starts, and its settings are not there when this file is read.
    """
    if getattr(record, "event", None) is LogEvent.WORKFLOW_STARTED:
        workflow.execution_settings.keep_going = True
    return True


if not workflow.is_main_process:
    logger.addFilter(keep_going)
