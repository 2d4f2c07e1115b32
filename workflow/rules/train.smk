# All cores and the GPU, so that no other job perturbs the timing; with several GPUs, an equal part of the cores.
rule train:
    input:
        pixels="results/data/{dataset}/pixels.npy",
        manifest="results/data/{dataset}/manifest.csv",
        split="results/data/{dataset}/splits/seed{seed}.csv",
        weights=weights_of,
        epochs=branch(
            settings.match == "time",
            then="results/epochs/{dataset}/{model}.yaml",
            otherwise=[],
        ),
    output:
        metrics="<cell>/metrics.json",
        history="<cell>/history.csv",
        steps="<cell>/steps.csv",
        lr_find="<cell>/lr_find.csv",
        predictions="<cell>/predictions.csv",
        model="<cell>/model.safetensors",
    log:
        "results/logs/train/{dataset}/{model}/{regime}/seed{seed}.log",
    benchmark:
        "results/logs/resources/train/{dataset}/{model}/{regime}/seed{seed}.tsv"
    conda:
        "../../envs/entr.yaml"
    threads: CORES_PER_TIMED_JOB
    resources:
        gpu=1,
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(120),
    params:
        plan=lambda wildcards: settings.plan(
            wildcards.dataset, wildcards.regime
        ).plain(),
        weights=lambda wildcards: settings.weights_label(wildcards.model),
        # not an output: Snakemake would delete it when the job is interrupted
        checkpoint="results/checkpoints/{dataset}/{model}/{regime}/seed{seed}.npz",
        code=code_digest("train"),
    message:
        "training {wildcards.dataset} {wildcards.model} {wildcards.regime} seed {wildcards.seed}"
    script:
        "../scripts/train.py"
