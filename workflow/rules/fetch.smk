# one rule for each kind of source: where the originals of a dataset come from


rule fetch_archive:
    input:
        path_of,
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset=of_source("archive"),
    cache: True
    conda:
        "../../envs/entr.yaml"
    params:
        source=source_of,
        code=code_digest("fetch_archive"),
    message:
        "fetching the archive of {wildcards.dataset}"
    script:
        "../scripts/fetch_archive.py"


rule fetch_list:
    input:
        path_of,
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset=of_source("list"),
    cache: True
    conda:
        "../../envs/entr.yaml"
    params:
        source=source_of,
        limits=settings.download.model_dump(include=IN_LISTS),
        code=code_digest("fetch_list"),
    message:
        "fetching the links of {wildcards.dataset}"
    script:
        "../scripts/fetch_list.py"


rule fetch_torchvision:
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset=of_source("torchvision"),
    cache: True
    conda:
        "../../envs/entr.yaml"
    params:
        source=source_of,
        code=code_digest("fetch_torchvision"),
    message:
        "having torchvision fetch {wildcards.dataset}"
    script:
        "../scripts/fetch_torchvision.py"


rule generate:
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset=of_source("generated"),
    cache: True
    conda:
        "../../envs/entr.yaml"
    threads: CORES
    params:
        source=source_of,
        code=code_digest("generate"),
    message:
        "rendering the images of {wildcards.dataset}"
    script:
        "../scripts/generate.py"


# not cached: a cache would change the permissions of the folders behind the links
rule link_folder:
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset=of_source("folder"),
    conda:
        "../../envs/entr.yaml"
    params:
        source=source_of,
        listing=listing_of,
        code=code_digest("link_folder"),
    message:
        "linking the folder of {wildcards.dataset}"
    script:
        "../scripts/link_folder.py"


# all that comes from the internet, for clusters whose nodes have none: made on the head node first
rule downloads:
    input:
        collect("results/data/{dataset}/originals", dataset=grid.datasets),
        (
            []
            if settings.weights == "none"
            else collect("results/weights/{model}.safetensors", model=grid.models)
        ),
