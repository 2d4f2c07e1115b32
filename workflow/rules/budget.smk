# The grid that fits into the budget `hours`. The jobs of a run depend on it, so it is chosen before they are planned: in
# another run, of the rule fit_budget, with the same options and thus on the same machine or cluster.
import os
import subprocess

from snakemake.cli import get_argument_parser

from entr.config import budget, budget_file
from entr.jobs.snakemake_options import without_targets

BUDGET = "results/budget.yaml"
# targets that do not need the grid
WITHOUT_GRID = {
    BUDGET,
    "fit_budget",
    "downloads",
    "progress",
    "check_environment",
    "compare_runs",
}
# options with which Snakemake runs no job, by their names in its parser
WITHOUT_JOBS = (
    "cleanup_metadata",
    "conda_cleanup_envs",
    "conda_create_envs_only",
    "containerize",
    "d3dag",
    "dag",
    "delete_all_output",
    "delete_temp_output",
    "detailed_summary",
    "dryrun",
    "filegraph",
    "generate_unit_tests",
    "lint",
    "list_conda_envs",
    "list_input_changes",
    "list_params_changes",
    "list_rules",
    "list_target_rules",
    "list_untracked",
    "print_compilation",
    "report",
    "rulegraph",
    "summary",
    "touch",
    "unlock",
)


def images_digest():
    """Return a digest of the images in the user's own folders."""
    entries = [configured.datasets[name] for name in configured.grid.datasets]
    return " ".join(
        listing_digest(entry.path) for entry in entries if entry.source == "folder"
    )


def read_or_choose_budget():
    """Return the budget with the grid that fits, or None if no grid is chosen yet and this run starts no job."""
    if not workflow.is_main_process:
        return budget.read_budget(BUDGET, configured)
    command, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    images = images_digest()
    found = budget.read_budget(BUDGET, configured, images)
    starts_jobs = command.report_after_run or not any(
        getattr(command, name) for name in WITHOUT_JOBS
    )
    needs_grid = not command.targets or not WITHOUT_GRID.issuperset(command.targets)
    is_first = found is None and not budget.is_requested_by_a_run()
    if is_first and starts_jobs and needs_grid:
        choose_grid(command)
        found = budget.read_budget(BUDGET, configured, images)
    return found


def choose_grid(command):
    """Run fit_budget with the options of this command."""
    if command.until or command.omit_from or command.batch:
        raise EntrError(
            "hours: the grid must be chosen before a run of a part of it; run `snakemake fit_budget` with the same "
            "--config and --configfile first"
        )
    locks = Path(".snakemake/locks")
    if not command.nolock and locks.is_dir() and any(locks.iterdir()):
        raise EntrError(
            "hours: the grid cannot be chosen while another run uses this directory; wait until it ends, or run "
            "`snakemake --unlock` if it was killed"
        )
    # so that no job of that run reads it; back in its place if no other grid is chosen
    earlier = Path(BUDGET).read_bytes() if Path(BUDGET).exists() else None
    Path(BUDGET).unlink(missing_ok=True)
    options = without_targets(sys.argv[1:])
    # this process is in the directory of the results, from which relative paths of the options lead elsewhere
    options += ["--snakefile", workflow.main_snakefile, "--directory", os.getcwd()]
    if workflow.overwrite_configfiles:
        options += ["--configfile", *map(str, workflow.overwrite_configfiles)]
    profile = Path(workflow.basedir, command.workflow_profile or "profiles/default")
    if profile.exists():
        options += ["--workflow-profile", str(profile)]
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", BUDGET, *options, "--quiet", "all"],
        env=os.environ | {budget_file.STARTED_AT: str(budget_file.process_start())},
    )
    try:
        run.wait()
    except KeyboardInterrupt:
        # that run is interrupted too, and cleans up
        run.wait()
        raise
    finally:
        if earlier is not None and not Path(BUDGET).exists():
            Path(BUDGET).write_bytes(earlier)
    if run.returncode:
        raise EntrError(
            "hours: the grid could not be chosen; the error is above and in results/logs"
        )
