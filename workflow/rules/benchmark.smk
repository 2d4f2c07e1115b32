# one job for all sizes of a network, so that they can be timed in turn and drift falls on all
rule benchmark_inference:
    output:
        "results/inference/{model}.csv",
    log:
        "results/logs/benchmark_inference/{model}.log",
    conda:
        "../../envs/entr.yaml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        sizes=settings.sizes(),
        inference=settings.inference.model_dump(mode="json"),
        device=settings.training.device,
        code=code_digest("benchmark_inference"),
    message:
        "timing inference of {wildcards.model}"
    script:
        "../scripts/benchmark_inference.py"
