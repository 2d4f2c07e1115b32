from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/config/datasets.yaml"
configfile: f"{workflow.basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/benchmark.smk"
include: "workflow/rules/report.smk"


onsuccess:
    tell_failures(log)


onerror:
    tell_failures(log)


rule all:
    default_target: True
    input:
        # named here too, so that a deleted cell is made again
        collect(
            rules.train.output,
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        collect("results/figures/{figure}.html", figure=FIGURES),
        "results/figures/fig2.html",
        "results/report.html",
        "results/tables/cells.csv",
        "results/tables/history.csv",
        "results/tables/efficiency.csv",
        "results/tables/effects.csv",
        "results/tables/claims.csv",
        "results/verdict.md",
        "results/recommendation.md",
        collect("results/best/{dataset}", dataset=grid.datasets),
        "results/tables/datasets.csv",
