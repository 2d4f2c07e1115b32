rule benchmark_inference:
    output:
        "results/inference/{model}/{size}px.csv",
    log:
        "results/logs/benchmark_inference/{model}/{size}px.log",
    conda:
        "../../envs/entr.yaml"
    threads: CORES
    resources:
        gpu=1,
        mem_mb=growing(8000),
    params:
        batch_sizes=settings.inference.batch_sizes,
        timing=settings.timing(),
        code=code_digest("benchmark_inference"),
    message:
        "timing inference of {wildcards.model} at {wildcards.size} px"
    script:
        "../scripts/benchmark_inference.py"


# the networks of all regimes in one job, so that they are timed in turn and drift falls on all
rule benchmark_finished:
    input:
        collect(
            "results/cells/{{dataset}}/{{model}}/{regime}/seed{seed}/model.safetensors",
            regime=grid.regimes,
            seed=grid.seeds[0],
        ),
    output:
        "results/inference/{model}/finished/{dataset}.csv",
    log:
        "results/logs/benchmark_finished/{dataset}/{model}.log",
    conda:
        "../../envs/entr.yaml"
    threads: CORES
    resources:
        gpu=1,
        mem_mb=growing(8000),
    params:
        sizes=final_sizes_of,
        timing=settings.timing(),
        code=code_digest("benchmark_finished"),
    message:
        "timing the finished networks of {wildcards.dataset} {wildcards.model}"
    script:
        "../scripts/benchmark_finished.py"
