rule downscale:
    input:
        "results/data/{dataset}/originals",
    output:
        images=directory("results/data/{dataset}/images"),
        manifest="results/data/{dataset}/manifest.csv",
        rejected="results/data/{dataset}/rejected.csv",
        duplicates="results/data/{dataset}/duplicates.csv",
    log:
        "results/logs/downscale/{dataset}.log",
    wildcard_constraints:
        dataset=datasets_from("archive", "url_list", "torchvision", "synthetic"),
    cache: True
    conda:
        "../../envs/entr.yaml"
    threads: CORES
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(120),
    params:
        images=settings.downscaling(),
        code=code_digest("downscale"),
    message:
        "{wildcards.dataset}: downscaling images"
    script:
        "../scripts/downscale.py"


# Not cached: for images on this machine the key of the cache would contain only names and sizes.
use rule downscale as downscale_folder with:
    wildcard_constraints:
        dataset=datasets_from("folder"),
    cache: False


rule pack_images:
    input:
        images="results/data/{dataset}/images",
        manifest="results/data/{dataset}/manifest.csv",
    output:
        "results/data/{dataset}/pixels.npy",
    log:
        "results/logs/pack_images/{dataset}.log",
    conda:
        "../../envs/entr.yaml"
    params:
        code=code_digest("pack_images"),
    message:
        "{wildcards.dataset}: packing images"
    script:
        "../scripts/pack_images.py"


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
        settings=settings.split.model_dump(),
        code=code_digest("split"),
    message:
        "{wildcards.dataset}: splitting images, seed {wildcards.seed}"
    script:
        "../scripts/split.py"
