# Table 1
rule describe:
    input:
        manifests=collect("results/data/{dataset}/manifest.csv", dataset=grid.datasets),
        rejected=collect("results/data/{dataset}/rejected.csv", dataset=grid.datasets),
        pairs=collect("results/data/{dataset}/duplicates.csv", dataset=grid.datasets),
    output:
        "results/tables/datasets.csv",
    log:
        "results/logs/describe.log",
    conda:
        "../../envs/entr.yaml"
    params:
        entries={
            name: settings.datasets[name].model_dump(
                mode="json", exclude={"training", "urls"}
            )
            for name in grid.datasets
        },
        code=code_digest("describe"),
    message:
        "describing the datasets"
    script:
        "../scripts/describe.py"


# Fig. 2
rule draw_samples:
    input:
        manifests=collect("results/data/{dataset}/manifest.csv", dataset=grid.datasets),
        images=collect("results/data/{dataset}/images", dataset=grid.datasets),
    output:
        table="results/tables/samples.csv",
        html="results/figures/fig2.html",
        svg="results/figures/fig2.svg",
        png="results/figures/fig2.png",
    log:
        "results/logs/draw/fig2.log",
    conda:
        "../../envs/entr.yaml"
    params:
        titles={name: settings.datasets[name].title or name for name in grid.datasets},
        code=code_digest("draw_samples"),
    message:
        "drawing fig2"
    script:
        "../scripts/draw_samples.py"


rule aggregate:
    input:
        metrics=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/metrics.json",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        inference=collect(
            "results/inference/{model}/{size}px.csv",
            model=grid.models,
            size=settings.sizes(),
        ),
        finished=collect(
            "results/inference/{model}/finished/{dataset}.csv",
            model=grid.models,
            dataset=grid.datasets,
        ),
    output:
        cells="results/tables/cells.csv",
        summary="results/tables/summary.csv",
        runs="results/tables/runs.csv",
    log:
        "results/logs/aggregate.log",
    conda:
        "../../envs/entr.yaml"
    params:
        control=settings.control,
        code=code_digest("aggregate"),
    message:
        "collecting the tables"
    script:
        "../scripts/aggregate.py"


# of each schedule and finder's curve the first seed's, for the others' are alike
rule collect_records:
    input:
        history=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/history.csv",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        steps=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/steps.csv",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds[0],
        ),
        lr_find=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/lr_find.csv",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds[0],
        ),
        predictions=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/predictions.csv",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
    output:
        history="results/tables/history.csv",
        steps="results/tables/steps.csv",
        lr_find="results/tables/lr_find.csv",
        confusions="results/tables/confusions.csv",
    log:
        "results/logs/collect_records.log",
    conda:
        "../../envs/entr.yaml"
    params:
        code=code_digest("collect_records"),
    message:
        "collecting what the cells recorded"
    script:
        "../scripts/collect_records.py"


rule draw:
    input:
        cells="results/tables/cells.csv",
        summary="results/tables/summary.csv",
        runs="results/tables/runs.csv",
    output:
        html="results/figures/{figure}.html",
        svg="results/figures/{figure}.svg",
        png="results/figures/{figure}.png",
    log:
        "results/logs/draw/{figure}.log",
    conda:
        "../../envs/entr.yaml"
    params:
        datasets={name: settings.datasets[name].title or name for name in grid.datasets},
        models=grid.models,
        regimes=grid.regimes,
        control=settings.control,
        basis=settings.time_basis,
        code=code_digest("draw"),
    message:
        "drawing {wildcards.figure}"
    script:
        "../scripts/draw.py"
