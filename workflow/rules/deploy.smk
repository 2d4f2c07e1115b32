rule export_model:
    input:
        recommendation="results/tables/recommendation.csv",
        models=collect(
            "results/cells/{{dataset}}/{model}/{regime}/seed{seed}/model.safetensors",
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
