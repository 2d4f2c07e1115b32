rule fetch_weights:
    input:
        weights_file_of,
    output:
        "results/weights/{model}.safetensors",
    log:
        "results/logs/fetch_weights/{model}.log",
    cache: True
    conda:
        "../../envs/entr.yaml"
    params:
        # not by the wildcard alone, which the key of a cache does not hold
        model="{model}",
        sha256=sha256_of,
        code=code_digest("fetch_weights"),
    message:
        "fetching the first weights of {wildcards.model}"
    script:
        "../scripts/fetch_weights.py"


# all cores and the GPU, so that nothing beside it disturbs the time that it measures
rule train:
    input:
        pixels="results/data/{dataset}/pixels.npy",
        manifest="results/data/{dataset}/manifest.csv",
        split="results/data/{dataset}/splits/seed{seed}.csv",
        weights=weights_of,
    output:
        metrics="results/cells/{dataset}/{model}/{regime}/seed{seed}/metrics.json",
        history="results/cells/{dataset}/{model}/{regime}/seed{seed}/history.csv",
        steps="results/cells/{dataset}/{model}/{regime}/seed{seed}/steps.csv",
        lr_find="results/cells/{dataset}/{model}/{regime}/seed{seed}/lr_find.csv",
        predictions="results/cells/{dataset}/{model}/{regime}/seed{seed}/predictions.csv",
        network="results/cells/{dataset}/{model}/{regime}/seed{seed}/model.safetensors",
    log:
        "results/logs/train/{dataset}/{model}/{regime}/seed{seed}.log",
    benchmark:
        "results/benchmarks/train/{dataset}/{model}/{regime}/seed{seed}.tsv"
    conda:
        "../../envs/entr.yaml"
    threads: CORES
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(120),
    params:
        plan=plan_of,
        weights=weights_name_of,
        # no output: snakemake would delete it when the job is killed
        checkpoint="results/checkpoints/{dataset}/{model}/{regime}/seed{seed}.npz",
        code=code_digest("train"),
    message:
        "training {wildcards.dataset} {wildcards.model} {wildcards.regime} seed {wildcards.seed}"
    script:
        "../scripts/train.py"


# before the hours are spent; no output, so that it runs whenever it is asked for
rule estimate:
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
        "results/logs/estimate.log",
    conda:
        "../../envs/entr.yaml"
    threads: CORES
    resources:
        gpu=1,
        mem_mb=growing(16000),
    params:
        cells=every_cell(),
        plans=plans_by_dataset(),
        models=grid.models,
        benchmark_seconds=benchmark_seconds(),
        table="results/estimate.csv",
    message:
        "estimating how long the grid will take"
    script:
        "../scripts/estimate.py"
