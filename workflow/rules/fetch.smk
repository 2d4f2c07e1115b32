# One rule per kind of source of a dataset's original images.


rule fetch_archive:
    input:
        lambda wildcards: settings.datasets[wildcards.dataset].path or [],
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset=datasets_from("archive"),
    cache: True
    conda:
        "../../envs/entr.yaml"
    params:
        source=lambda wildcards: settings.datasets[wildcards.dataset].origin(),
        code=code_digest("fetch_archive"),
    message:
        "{wildcards.dataset}: downloading the archive"
    script:
        "../scripts/fetch_archive.py"


rule fetch_url_list:
    input:
        lambda wildcards: settings.datasets[wildcards.dataset].path or [],
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset=datasets_from("url_list"),
    cache: True
    conda:
        "../../envs/entr.yaml"
    params:
        source=lambda wildcards: settings.datasets[wildcards.dataset].origin(),
        download=settings.download.model_dump(include=IN_URL_LISTS),
        code=code_digest("fetch_url_list"),
    message:
        "{wildcards.dataset}: downloading the images of the URL list"
    script:
        "../scripts/fetch_url_list.py"


rule fetch_torchvision:
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset=datasets_from("torchvision"),
    cache: True
    conda:
        "../../envs/entr.yaml"
    params:
        source=lambda wildcards: settings.datasets[wildcards.dataset].origin(),
        code=code_digest("fetch_torchvision"),
    message:
        "{wildcards.dataset}: downloading with torchvision"
    script:
        "../scripts/fetch_torchvision.py"


rule render_micrographs:
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset=datasets_from("synthetic"),
    cache: True
    conda:
        "../../envs/entr.yaml"
    threads: CORES
    params:
        source=lambda wildcards: settings.datasets[wildcards.dataset].origin(),
        code=code_digest("render_micrographs"),
    message:
        "{wildcards.dataset}: rendering images"
    script:
        "../scripts/render_micrographs.py"


# Not cached: a cache would change the permissions of the linked folders.
rule link_images:
    output:
        directory("results/data/{dataset}/originals"),
    log:
        "results/logs/fetch/{dataset}.log",
    wildcard_constraints:
        dataset=datasets_from("folder"),
    conda:
        "../../envs/entr.yaml"
    params:
        source=lambda wildcards: settings.datasets[wildcards.dataset].origin(),
        listing=lambda wildcards: listing_digest(
            settings.datasets[wildcards.dataset].path
        ),
        code=code_digest("link_images"),
    message:
        "{wildcards.dataset}: linking images"
    script:
        "../scripts/link_images.py"


rule fetch_weights:
    input:
        lambda wildcards: settings.weights_file(wildcards.model) or [],
    output:
        "results/weights/{model}.safetensors",
    log:
        "results/logs/fetch_weights/{model}.log",
    cache: True
    conda:
        "../../envs/entr.yaml"
    params:
        # a parameter, because the key of Snakemake's cache does not contain wildcards
        model="{model}",
        sha256=lambda wildcards: settings.weights_sha256.get(wildcards.model, ""),
        code=code_digest("fetch_weights"),
    message:
        "{wildcards.model}: fetching initial weights"
    script:
        "../scripts/fetch_weights.py"


# For the web page, which nothing else needs. It runs on this machine, because nodes of a cluster may be offline.
rule fetch_onnxruntime_web:
    output:
        javascript="results/onnxruntime-web/ort.wasm.bundle.min.mjs",
        webassembly="results/onnxruntime-web/ort-wasm-simd-threaded.wasm",
    log:
        "results/logs/fetch_onnxruntime_web.log",
    localrule: True
    conda:
        "../../envs/entr.yaml"
    params:
        checksums=settings.onnxruntime_web.checksums(),
        code=code_digest("fetch_onnxruntime_web"),
    message:
        "fetching ONNX Runtime Web"
    script:
        "../scripts/fetch_onnxruntime_web.py"


# Everything else that needs the internet, for clusters whose compute nodes are offline: run it on the login node.
rule downloads:
    input:
        collect("results/data/{dataset}/originals", dataset=grid.datasets),
        (
            []
            if settings.weights == "none"
            else collect("results/weights/{model}.safetensors", model=grid.models)
        ),
