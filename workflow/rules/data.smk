rule downscale:
    input:
        "results/data/{dataset}/originals",
    output:
        images=directory("results/data/{dataset}/images"),
        manifest="results/data/{dataset}/manifest.csv",
        rejected="results/data/{dataset}/rejected.csv",
        pairs="results/data/{dataset}/duplicates.csv",
    log:
        "results/logs/downscale/{dataset}.log",
    wildcard_constraints:
        dataset=of_source("archive", "list", "torchvision", "generated"),
    cache: True
    conda:
        "../../envs/entr.yaml"
    threads: CORES
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        images=settings.images.model_dump(exclude={"folder"}),
        code=code_digest("downscale"),
    message:
        "reducing the images of {wildcards.dataset}"
    script:
        "../scripts/downscale.py"


# not cached: of images that lie on this machine the key of a cache would hold names and sizes alone
use rule downscale as downscale_folder with:
    wildcard_constraints:
        dataset=of_source("folder"),
    cache: False


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
