rule aggregate:
    input:
        metrics=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/metrics.json",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        inference=collect("results/inference/{model}.csv", model=grid.models),
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
