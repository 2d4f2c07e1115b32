# What a run shows in the terminal. Jobs and dry runs, and --verbose, have the output of Snakemake.
import os
from itertools import product

from snakemake.logging import logger

from entr.jobs import failed_jobs
from entr.jobs.logs import VERBOSE
from entr.jobs.process import process_age
from entr.report import terminal

# jobs that run elsewhere report no failures
logged_before = (
    failed_jobs.modification_times("results/logs") if workflow.is_main_process else {}
)
output = workflow.output_settings
if output.verbose:
    os.environ[VERBOSE] = "1"
elif workflow.is_main_process and not output.dryrun:
    cells = {
        path: (model, regime)
        for model, regime in product(grid.models, grid.regimes)
        for path in of_cells("metrics.json", model=model, regime=regime)
    }
    terminal.install(logger, sys.stderr, cells)


def report_failures(logs):
    """Print which jobs failed, why, and the command that reruns each; remove the list of an earlier run."""
    found = failed_jobs.describe_failures(logs, logged_before, sys.argv[1:])
    print(failed_jobs.write_failures(found, "results/failed_jobs.txt"), file=sys.stderr)


# Snakemake keeps only one block of each kind
onstart:
    switch_off_default_rate_limit()
    log_finished_jobs()
    compact_checksums()


onsuccess:
    terminal.close(logger)
    report_failures(log)
    dag = workflow.dag_settings
    # a run of named targets, or one that --until or --omit-from restricts, does not update the answer
    if not (dag.targets or dag.until or dag.omit_from):
        exported = [] if settings.archive else grid.datasets
        print(
            terminal.summarise_run(
                "results/answer.txt",
                "results/report.html",
                collect("results/errors/{dataset}.html", dataset=exported),
                collect("results/models/{dataset}", dataset=exported),
                sys.argv[1:],
                fronts="results/tables/pareto_front.csv",
                time_basis=settings.time_basis,
                hours=settings.hours,
                scale=settings.scale,
                seconds=process_age(),
            )
        )
    elif {BUDGET, "fit_budget"} & set(
        dag.targets
    ) and not budget.is_requested_by_a_run():
        print(
            *budget.describe(configured, budget.read_budget(BUDGET, configured)),
            sep="\n",
        )


onerror:
    terminal.close(logger)
    # whose error says what to do, and which has nothing to recompute
    if set(workflow.dag_settings.targets) != {"check_environment"}:
        report_failures(log)
