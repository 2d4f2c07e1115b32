# One job for all image sizes of a model, timed in alternation, like the regimes below.
rule benchmark_inference:
    output:
        "results/inference/{model}.csv",
    log:
        "results/logs/benchmark_inference/{model}.log",
    conda:
        "../../envs/entr.yaml"
    threads: CORES_PER_TIMED_JOB
    resources:
        gpu=1,
        mem_mb=scale_with_attempt(8000),
    params:
        sizes=settings.sizes(),
        batch_sizes=settings.inference.batch_sizes,
        timing=settings.timing(),
        code=code_digest("benchmark_inference"),
    message:
        "{wildcards.model}: benchmarking inference"
    script:
        "../scripts/benchmark_inference.py"


# One job for the models of all regimes, timed in alternation, so that drift of the machine affects all alike.
rule benchmark_trained:
    input:
        models=collect(
            "results/cells/{{dataset}}/{{model}}/{regime}/seed{seed}/model.safetensors",
            regime=grid.regimes,
            seed=grid.seeds[0],
        ),
        # the checksums of the models
        metrics=collect(
            "results/cells/{{dataset}}/{{model}}/{regime}/seed{seed}/metrics.json",
            regime=grid.regimes,
            seed=grid.seeds[0],
        ),
    output:
        "results/inference/trained/{dataset}/{model}.csv",
    log:
        "results/logs/benchmark_trained/{dataset}/{model}.log",
    conda:
        "../../envs/entr.yaml"
    threads: CORES_PER_TIMED_JOB
    resources:
        gpu=1,
        mem_mb=scale_with_attempt(8000),
    params:
        sizes=lambda wildcards: settings.final_sizes(wildcards.dataset),
        timing=settings.timing(),
        code=code_digest("benchmark_trained"),
    message:
        "{wildcards.dataset} {wildcards.model}: benchmarking the trained models"
    script:
        "../scripts/benchmark_trained.py"


# Without output, so that it runs whenever it is requested.
rule estimate_runtime:
    input:
        pixels=collect("results/data/{dataset}/pixels.npy", dataset=grid.datasets),
        manifest=collect("results/data/{dataset}/manifest.csv", dataset=grid.datasets),
        split=collect(
            "results/data/{dataset}/splits/seed{seed}.csv",
            dataset=grid.datasets,
            seed=grid.seeds[0],
        ),
        weights=branch(
            settings.weights == "none",
            then=[],
            otherwise=collect(
                "results/weights/{model}.safetensors", model=grid.models
            ),
        ),
    log:
        "results/logs/estimate_runtime.log",
    conda:
        "../../envs/entr.yaml"
    threads: CORES_PER_TIMED_JOB
    resources:
        gpu=1,
        mem_mb=scale_with_attempt(16000),
    params:
        metrics=of_cells("metrics.json"),
        plans={dataset: settings.plans(dataset) for dataset in grid.datasets},
        models=grid.models,
        inference=settings.inference.model_dump(),
        control=settings.control,
        match=settings.match,
        table="results/runtime_estimate.csv",
    message:
        "estimating the runtime of the grid"
    script:
        "../scripts/estimate_runtime.py"


# The epochs of each regime with which all are trained for the same time; only with `match: time`.
rule fit_epochs:
    input:
        pixels="results/data/{dataset}/pixels.npy",
        manifest="results/data/{dataset}/manifest.csv",
        # always the same, so that other seeds do not change the epochs
        split="results/data/{dataset}/splits/seed0.csv",
        weights=weights_of,
    output:
        "results/epochs/{dataset}/{model}.yaml",
    log:
        "results/logs/fit_epochs/{dataset}/{model}.log",
    conda:
        "../../envs/entr.yaml"
    threads: CORES_PER_TIMED_JOB
    resources:
        gpu=1,
        mem_mb=scale_with_attempt(16000),
    params:
        plans=lambda wildcards: settings.plans(wildcards.dataset),
        control=settings.control,
        code=code_digest("fit_epochs"),
    message:
        "{wildcards.dataset} {wildcards.model}: measuring training steps to fit the epochs of each regime"
    script:
        "../scripts/fit_epochs.py"


# The run that chooses the grid requests it; see budget.smk.
rule fit_budget:
    input:
        originals=collect(
            "results/data/{dataset}/originals", dataset=configured.grid.datasets
        ),
        weights=branch(
            configured.weights == "none",
            then=[],
            otherwise=collect(
                "results/weights/{model}.safetensors", model=configured.grid.models
            ),
        ),
    output:
        BUDGET,
    log:
        "results/logs/fit_budget.log",
    conda:
        "../../envs/entr.yaml"
    threads: CORES
    resources:
        gpu=1,
        mem_mb=scale_with_attempt(16000),
    params:
        hours=configured.hours,
        grid=budget.grid_of(configured).model_dump(),
        control=configured.control,
        match=configured.match,
        plans={
            scale: {name: scaled.plans(name) for name in scaled.grid.datasets}
            for scale, scaled in budget.at_scales(configured).items()
        },
        images=[*budget.at_scales(configured).values()][-1].downscaling(),
        split=configured.split.model_dump(),
        inference=configured.inference.model_dump(),
        configuration=budget.configuration_digest(configured),
        listing=lambda wildcards: images_digest(),
    message:
        "measuring training steps to choose a grid that fits into the budget"
    script:
        "../scripts/fit_budget.py"
