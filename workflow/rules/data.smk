rule fetch:
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    benchmark:
        "results/benchmarks/fetch/{dataset}.tsv"
    conda:
        "../../envs/entr.yaml"
    threads: workflow.cores
    params:
        source=source_of,
        listing=listing_of,
        code=code_digest("fetch"),
    message:
        "fetching the images of {wildcards.dataset}"
    script:
        "../scripts/fetch.py"


rule downscale:
    input:
        "results/data/{dataset}/originals",
    output:
        images=directory("results/data/{dataset}/images"),
        manifest="results/data/{dataset}/manifest.csv",
        rejected="results/data/{dataset}/rejected.csv",
    log:
        "results/logs/downscale/{dataset}.log",
    benchmark:
        "results/benchmarks/downscale/{dataset}.tsv"
    conda:
        "../../envs/entr.yaml"
    threads: workflow.cores
    params:
        images=settings.images.model_dump(),
        code=code_digest("downscale"),
    message:
        "reducing the images of {wildcards.dataset}"
    script:
        "../scripts/downscale.py"


rule pack_pixels:
    input:
        images="results/data/{dataset}/images",
        manifest="results/data/{dataset}/manifest.csv",
    output:
        "results/data/{dataset}/pixels.npy",
    log:
        "results/logs/pack_pixels/{dataset}.log",
    conda:
        "../../envs/entr.yaml"
    params:
        code=code_digest("pack_pixels"),
    message:
        "packing the pixels of {wildcards.dataset}"
    script:
        "../scripts/pack_pixels.py"


rule split:
    input:
        "results/data/{dataset}/manifest.csv",
    output:
        "results/data/{dataset}/splits/seed{seed}.csv",
    log:
        "results/logs/split/{dataset}/seed{seed}.log",
    conda:
        "../../envs/entr.yaml"
    params:
        folds=settings.split.folds,
        code=code_digest("split"),
    message:
        "splitting {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/split.py"
