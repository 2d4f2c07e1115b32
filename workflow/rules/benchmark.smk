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
        collect(
            "results/cells/{{dataset}}/{{model}}/{regime}/seed{seed}/model.safetensors",
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
        benchmark_seconds=settings.benchmark_seconds(),
        table="results/runtime_estimate.csv",
    message:
        "estimating the runtime of the grid"
    script:
        "../scripts/estimate_runtime.py"
