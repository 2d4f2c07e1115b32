rule export_model:
    input:
        recommendation="results/tables/recommendation.csv",
        models=collect(
            "results/cells/{{dataset}}/{model}/{regime}/seed{seed}/model.safetensors",
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        # measurements of the models, and their checksums
        metrics=collect(
            "results/cells/{{dataset}}/{model}/{regime}/seed{seed}/metrics.json",
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        images=branch(
            settings.split.test > 0,
            then="results/data/{dataset}/images",
            otherwise=[],
        ),
        split=branch(
            settings.split.test > 0,
            then=f"results/data/{{dataset}}/splits/seed{grid.seeds[0]}.csv",
            otherwise=[],
        ),
    output:
        directory("results/models/{dataset}"),
    log:
        "results/logs/export_model/{dataset}.log",
    conda:
        "../../envs/entr.yaml"
    params:
        card=lambda wildcards: settings.model_card_data(wildcards.dataset),
        code=code_digest("export_model", "entr/deploy/predict.py"),
    message:
        "{wildcards.dataset}: exporting the recommended model"
    script:
        "../scripts/export_model.py"


# Without output, because the pages are in the directories that export_model writes; so it runs whenever it is
# requested.
rule web_page:
    input:
        javascript="results/onnxruntime-web/ort.wasm.bundle.min.mjs",
        webassembly="results/onnxruntime-web/ort-wasm-simd-threaded.wasm",
        models=collect("results/models/{dataset}", dataset=grid.datasets),
    log:
        "results/logs/web_page.log",
    localrule: True
    conda:
        "../../envs/entr.yaml"
    params:
        titles=[settings.model_card_data(dataset)["title"] for dataset in grid.datasets],
    message:
        "writing web pages"
    script:
        "../scripts/web_page.py"
