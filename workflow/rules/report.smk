# The page for readers. Snakemake's own report (snakemake --report) shows the rule graph and the provenance
# of each file, but it does not lead with the verdict and repeats the plotting library in every figure.
rule render_report:
    input:
        library="results/figures/vega.js",
        verdict="results/verdict.md",
        recommendation="results/recommendation.md",
        specs=collect("results/figures/{figure}.vl.json", figure=SHOWN),
        tables=collect(
            "results/tables/{table}.csv",
            table=["answer", "claims", "datasets", "summary", "effects", "cells"],
        ),
    output:
        report(
            "results/report.html",
            caption="../report/page.rst",
            category="The report",
            labels={"figure": "The whole page"},
        ),
    log:
        "results/logs/render_report.log",
    conda:
        "../../envs/entr.yaml"
    params:
        study=study,
        catalogue={name: figure.plain() for name, figure in CATALOGUE.items()},
        configuration=settings.without_local_paths(),
        citation=Path(workflow.basedir, "CITATION.cff").read_text(encoding="utf-8"),
        code=code_digest("render_report"),
    message:
        "rendering the report"
    script:
        "../scripts/render_report.py"


rule paper:
    input:
        tables=collect(
            "results/tables/{table}.csv",
            table=[
                "metrics",
                "pairs",
                "effects",
                "cells",
                "datasets",
                "history",
                "time_to_accuracy_effects",
            ],
        ),
        metrics=of_cells("metrics.json", seed=grid.seeds[0]),
        inference=collect("results/inference/{model}.csv", model=grid.models),
        figures=collect("results/figures/{figure}.png", figure=PAPER_FIGURES),
        protocol=settings.paper.protocol or [],
    output:
        directory("results/paper"),
    log:
        "results/logs/paper.log",
    conda:
        "../../envs/entr.yaml"
    params:
        study=study,
        title=settings.paper.title,
        citation=Path(workflow.basedir, "CITATION.cff").read_text(encoding="utf-8"),
        code=code_digest("paper"),
    message:
        "writing the paper"
    script:
        "../scripts/paper.py"


rule analyse_errors:
    input:
        # the checksums of the predictions; without a name, because the script passes on the named ones
        collect(
            "results/cells/{{dataset}}/{model}/{regime}/seed{seed}/metrics.json",
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        recommendation="results/tables/recommendation.csv",
        predictions=collect(
            "results/cells/{{dataset}}/{model}/{regime}/seed{seed}/predictions.csv",
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        manifest="results/data/{dataset}/manifest.csv",
        images="results/data/{dataset}/images",
    output:
        page=report(
            "results/errors/{dataset}.html",
            caption="../report/errors.rst",
            category="The report",
            labels={"figure": "Errors on {dataset}"},
        ),
        table="results/errors/{dataset}.csv",
    log:
        "results/logs/analyse_errors/{dataset}.log",
    conda:
        "../../envs/entr.yaml"
    params:
        study=study,
        tested=settings.split.test > 0,
        code=code_digest("analyse_errors"),
    message:
        "analysing the errors on {wildcards.dataset}"
    script:
        "../scripts/analyse_errors.py"


# Progress of a running grid. Without output, so that it runs whenever it is requested; without input, so
# that it trains nothing.
rule progress:
    log:
        "results/logs/progress.log",
    conda:
        "../../envs/entr.yaml"
    params:
        study=study,
        metrics=rules.aggregate_metrics.input.metrics,
        inference=rules.aggregate_metrics.input.inference,
        trained=rules.aggregate_metrics.input.trained,
        plans={dataset: settings.plans(dataset) for dataset in grid.datasets},
        match=settings.match,
        checkpoints="results/checkpoints",
        folder="results/progress",
    message:
        "reporting the progress of the grid"
    script:
        "../scripts/progress.py"
