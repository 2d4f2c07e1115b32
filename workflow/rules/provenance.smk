# an archived run has no models and no splits
EXPORTED_MODELS = (
    []
    if settings.archive
    else collect("results/models/{dataset}", dataset=grid.datasets)
)
SPLITS = (
    []
    if settings.archive
    else collect(
        "results/data/{dataset}/splits/seed{seed}.csv",
        dataset=grid.datasets,
        seed=grid.seeds,
    )
)


# What a run was made with. The commit of the workflow is not a parameter: it changes without the code.
rule record_provenance:
    input:
        cells="results/tables/cells.csv",
        page="results/report.html",
        models=EXPORTED_MODELS,
    output:
        "results/provenance.json",
    log:
        "results/logs/record_provenance.log",
    conda:
        "../../envs/entr.yaml"
    params:
        # files copied from an archive do not tell when their cells were trained
        metrics=None if settings.archive else rules.aggregate_metrics.input.metrics,
        configuration=settings.without_local_paths(),
        digests=digests_by_rule(),
        citation=Path(workflow.basedir, "CITATION.cff").read_text(encoding="utf-8"),
        code=code_digest("record_provenance"),
    message:
        "recording the provenance of the run"
    script:
        "../scripts/record_provenance.py"


# Without output, so that it runs whenever it is requested; without input, so that it trains nothing.
rule compare_runs:
    log:
        "results/logs/compare_runs.log",
    localrule: True
    conda:
        "../../envs/entr.yaml"
    params:
        before=settings.before,
        after=settings.after,
        folder="results/comparison",
    message:
        "comparing two runs"
    script:
        "../scripts/compare_runs.py"


rule ro_crate:
    input:
        provenance="results/provenance.json",
        results=[
            "results/report.html",
            *rules.summarise_datasets.output,
            *rules.aggregate_metrics.output,
            *rules.aggregate_histories.output,
            *rules.estimate_effects.output,
            *rules.estimate_fronts.output,
            *rules.measure_time_to_accuracy.output,
            *rules.evaluate_claims.output,
            *rules.recommend.output,
            *collect(
                "results/figures/{figure}.{suffix}",
                figure=SHOWN,
                suffix=["svg", "png", "vl.json"],
            ),
            *EXPORTED_MODELS,
            *collect("results/inference/{model}.csv", model=grid.models),
            *collect(
                "results/inference/trained/{dataset}/{model}.csv",
                dataset=grid.datasets,
                model=grid.models,
            ),
            *collect(
                "results/data/{dataset}/{table}.csv",
                dataset=grid.datasets,
                table=["manifest", "rejected", "duplicates"],
            ),
            *SPLITS,
            *of_cells("metrics.json"),
            *of_cells("history.csv"),
            *of_cells("predictions.csv"),
            *of_cells("steps.csv", seed=grid.seeds[0]),
            *of_cells("lr_find.csv", seed=grid.seeds[0]),
        ],
    output:
        "results/entr.crate.zip",
    log:
        "results/logs/ro_crate.log",
    conda:
        "../../envs/entr.yaml"
    params:
        citation=Path(workflow.basedir, "CITATION.cff").read_text(encoding="utf-8"),
        statements=settings.crate.model_dump(),
        code=code_digest("ro_crate"),
    message:
        "archiving the run"
    script:
        "../scripts/ro_crate.py"
