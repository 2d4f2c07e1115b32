# Table 1
rule summarise_datasets:
    input:
        manifests=collect("results/data/{dataset}/manifest.csv", dataset=grid.datasets),
        rejected=collect("results/data/{dataset}/rejected.csv", dataset=grid.datasets),
        duplicates=collect(
            "results/data/{dataset}/duplicates.csv", dataset=grid.datasets
        ),
    output:
        report(
            "results/tables/datasets.csv",
            caption="../report/datasets.rst",
            category="Tables",
            labels={"figure": "Table 1. The datasets"},
        ),
    log:
        "results/logs/summarise_datasets.log",
    conda:
        "../../envs/entr.yaml"
    params:
        entries={
            name: settings.datasets[name].model_dump(
                mode="json", exclude={"training", "urls"}
            )
            for name in grid.datasets
        },
        code=code_digest("summarise_datasets"),
    message:
        "summarising the datasets"
    script:
        "../scripts/summarise_datasets.py"


rule aggregate_metrics:
    input:
        metrics=of_cells("metrics.json"),
        inference=collect("results/inference/{model}.csv", model=grid.models),
        trained=collect(
            "results/inference/trained/{dataset}/{model}.csv",
            dataset=grid.datasets,
            model=grid.models,
        ),
    output:
        metrics="results/tables/metrics.csv",
        summary="results/tables/summary.csv",
        cells="results/tables/cells.csv",
    log:
        "results/logs/aggregate_metrics.log",
    conda:
        "../../envs/entr.yaml"
    params:
        control=settings.control,
        code=code_digest("aggregate_metrics"),
    message:
        "aggregating the metrics of all cells"
    script:
        "../scripts/aggregate_metrics.py"


# Schedules and learning-rate finder curves of the first seed only, because they hardly differ between seeds.
rule aggregate_histories:
    input:
        # the checksums of the others; without a name, because the script passes on the named ones
        of_cells("metrics.json"),
        history=of_cells("history.csv"),
        steps=of_cells("steps.csv", seed=grid.seeds[0]),
        lr_find=of_cells("lr_find.csv", seed=grid.seeds[0]),
        predictions=of_cells("predictions.csv"),
    output:
        history="results/tables/history.csv",
        steps="results/tables/steps.csv",
        lr_find="results/tables/lr_find.csv",
        confusions="results/tables/confusions.csv",
    log:
        "results/logs/aggregate_histories.log",
    conda:
        "../../envs/entr.yaml"
    params:
        code=code_digest("aggregate_histories"),
    message:
        "aggregating the histories and predictions of all cells"
    script:
        "../scripts/aggregate_histories.py"


rule estimate_effects:
    input:
        "results/tables/metrics.csv",
    output:
        pairs="results/tables/pairs.csv",
        effects="results/tables/effects.csv",
    log:
        "results/logs/estimate_effects.log",
    conda:
        "../../envs/entr.yaml"
    params:
        control=settings.control,
        folds=settings.split.folds,
        code=code_digest("estimate_effects"),
    message:
        "estimating the effects of the regimes relative to {params.control}"
    script:
        "../scripts/estimate_effects.py"


rule estimate_fronts:
    input:
        "results/tables/metrics.csv",
    output:
        "results/tables/pareto_front.csv",
    log:
        "results/logs/estimate_fronts.log",
    conda:
        "../../envs/entr.yaml"
    params:
        control=settings.control,
        code=code_digest("estimate_fronts"),
    message:
        "estimating the Pareto fronts of the regimes"
    script:
        "../scripts/estimate_fronts.py"


rule measure_time_to_accuracy:
    input:
        history="results/tables/history.csv",
        cells="results/tables/cells.csv",
    output:
        times="results/tables/time_to_accuracy.csv",
        effects="results/tables/time_to_accuracy_effects.csv",
    log:
        "results/logs/measure_time_to_accuracy.log",
    conda:
        "../../envs/entr.yaml"
    params:
        control=settings.control,
        folds=settings.split.folds,
        code=code_digest("measure_time_to_accuracy"),
    message:
        "measuring the time to accuracy of the regimes"
    script:
        "../scripts/measure_time_to_accuracy.py"


rule evaluate_claims:
    input:
        metrics="results/tables/metrics.csv",
        pairs="results/tables/pairs.csv",
        effects="results/tables/effects.csv",
        cells="results/tables/cells.csv",
    output:
        claims=report(
            "results/tables/claims.csv",
            caption="../report/claims.rst",
            category="Tables",
            labels={"figure": "The claims"},
        ),
        answer="results/tables/answer.csv",
        verdict="results/verdict.md",
        text="results/answer.txt",
    log:
        "results/logs/evaluate_claims.log",
    conda:
        "../../envs/entr.yaml"
    params:
        study=study,
        code=code_digest("evaluate_claims"),
    message:
        "evaluating the hypothesis and the claims of the paper"
    script:
        "../scripts/evaluate_claims.py"


rule recommend:
    input:
        metrics="results/tables/metrics.csv",
        summary="results/tables/summary.csv",
        fronts="results/tables/pareto_front.csv",
    output:
        table="results/tables/recommendation.csv",
        text=report(
            "results/recommendation.md",
            caption="../report/recommendation.rst",
            category="Tables",
            labels={"figure": "Recommended model"},
        ),
    log:
        "results/logs/recommend.log",
    conda:
        "../../envs/entr.yaml"
    params:
        study=study,
        limits=settings.recommend.model_dump(),
        tested=settings.split.test > 0,
        budget=budget_lines,
        exported=not settings.archive,
        code=code_digest("recommend"),
    message:
        "selecting the recommended model"
    script:
        "../scripts/recommend.py"
