# Table 1
rule describe:
    input:
        manifests=collect("results/data/{dataset}/manifest.csv", dataset=grid.datasets),
        rejected=collect("results/data/{dataset}/rejected.csv", dataset=grid.datasets),
        pairs=collect("results/data/{dataset}/duplicates.csv", dataset=grid.datasets),
    output:
        report(
            "results/tables/datasets.csv",
            caption="../report/datasets.rst",
            category="Tables",
            labels={"figure": "Table 1. The datasets"},
        ),
    log:
        "results/logs/describe.log",
    conda:
        "../../envs/entr.yaml"
    params:
        entries={
            name: settings.datasets[name].model_dump(
                mode="json", exclude={"training", "urls"}
            )
            for name in grid.datasets
        },
        code=code_digest("describe"),
    message:
        "describing the datasets"
    script:
        "../scripts/describe.py"


# Fig. 2
rule draw_samples:
    input:
        library="results/figures/vega.js",
        manifests=collect("results/data/{dataset}/manifest.csv", dataset=grid.datasets),
        images=collect("results/data/{dataset}/images", dataset=grid.datasets),
    output:
        table="results/tables/samples.csv",
        html="results/figures/fig2.html",
        svg=report(
            "results/figures/fig2.svg",
            caption="../report/figure.rst",
            category=GALLERY[SAMPLES].category,
            labels={"figure": GALLERY[SAMPLES].heading},
        ),
        png="results/figures/fig2.png",
        spec="results/figures/fig2.vl.json",
    log:
        "results/logs/draw/fig2.log",
    conda:
        "../../envs/entr.yaml"
    params:
        titles={name: settings.datasets[name].title or name for name in grid.datasets},
        figure=asdict(GALLERY[SAMPLES]),
        code=code_digest("draw_samples", *PAGE),
    message:
        "drawing fig2"
    script:
        "../scripts/draw_samples.py"


rule aggregate:
    input:
        metrics=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/metrics.json",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        inference=collect(
            "results/inference/{model}/{size}px.csv",
            model=grid.models,
            size=settings.sizes(),
        ),
        finished=collect(
            "results/inference/{model}/finished/{dataset}.csv",
            model=grid.models,
            dataset=grid.datasets,
        ),
    output:
        cells="results/tables/cells.csv",
        summary="results/tables/summary.csv",
        runs="results/tables/runs.csv",
    log:
        "results/logs/aggregate.log",
    conda:
        "../../envs/entr.yaml"
    params:
        control=settings.control,
        code=code_digest("aggregate"),
    message:
        "collecting the tables"
    script:
        "../scripts/aggregate.py"


# of each schedule and finder's curve the first seed's, for the others' are alike
rule collect_records:
    input:
        history=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/history.csv",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        steps=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/steps.csv",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds[0],
        ),
        lr_find=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/lr_find.csv",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds[0],
        ),
        predictions=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/predictions.csv",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
    output:
        history="results/tables/history.csv",
        steps="results/tables/steps.csv",
        lr_find="results/tables/lr_find.csv",
        confusions="results/tables/confusions.csv",
    log:
        "results/logs/collect_records.log",
    conda:
        "../../envs/entr.yaml"
    params:
        code=code_digest("collect_records"),
    message:
        "collecting what the cells recorded"
    script:
        "../scripts/collect_records.py"


rule compare:
    input:
        cells="results/tables/cells.csv",
    output:
        efficiency="results/tables/efficiency.csv",
        effects="results/tables/effects.csv",
    log:
        "results/logs/compare.log",
    conda:
        "../../envs/entr.yaml"
    params:
        control=settings.control,
        folds=settings.split.folds,
        code=code_digest("compare"),
    message:
        "comparing regimes with {params.control}"
    script:
        "../scripts/compare.py"


rule judge:
    input:
        cells="results/tables/cells.csv",
        efficiency="results/tables/efficiency.csv",
        effects="results/tables/effects.csv",
        runs="results/tables/runs.csv",
    output:
        claims=report(
            "results/tables/claims.csv",
            caption="../report/claims.rst",
            category="Tables",
            labels={"figure": "The claims"},
        ),
        verdict="results/verdict.md",
    log:
        "results/logs/judge.log",
    conda:
        "../../envs/entr.yaml"
    params:
        settings=study(),
        code=code_digest("judge"),
    message:
        "judging the claims"
    script:
        "../scripts/judge.py"


# Vega's JavaScript, made once and inlined in every page
rule bundle_library:
    output:
        "results/figures/vega.js",
    log:
        "results/logs/bundle_library.log",
    conda:
        "../../envs/entr.yaml"
    params:
        code=code_digest("bundle_library"),
    message:
        "bundling the library of the figures"
    script:
        "../scripts/bundle_library.py"


# a job a figure: 1 to 3 s each, and a change redraws those of its own subject alone
rule draw:
    input:
        library="results/figures/vega.js",
        tables=tables_of,
        images=images_of,
    output:
        html="results/figures/{figure}.html",
        svg=report(
            "results/figures/{figure}.svg",
            caption="../report/figure.rst",
            category=lambda wildcards: GALLERY[wildcards.figure].category,
            labels=lambda wildcards: {"figure": GALLERY[wildcards.figure].heading},
        ),
        png="results/figures/{figure}.png",
        spec="results/figures/{figure}.vl.json",
    log:
        "results/logs/draw/{figure}.log",
    conda:
        "../../envs/entr.yaml"
    params:
        figure=lambda wildcards: asdict(GALLERY[wildcards.figure]),
        datasets={name: settings.datasets[name].title or name for name in grid.datasets},
        models=grid.models,
        regimes=grid.regimes,
        control=settings.control,
        basis=settings.time_basis,
        plans=plans_of_figure,
        code=code_of_figure,
    message:
        "drawing {wildcards.figure}"
    script:
        "../scripts/draw.py"


# The reader's page. Snakemake's own report (snakemake --report) has the graph of the workflow and
# the provenance of each file, but neither leads with the verdict nor lets figures share a library.
rule write_report:
    input:
        library="results/figures/vega.js",
        verdict="results/verdict.md",
        recommendation="results/recommendation.md",
        specs=collect("results/figures/{figure}.vl.json", figure=GALLERY),
        tables=collect(
            "results/tables/{table}.csv",
            table=["datasets", "summary", "effects", "runs"],
        ),
    output:
        report(
            "results/report.html",
            caption="../report/page.rst",
            category="The report",
            labels={"figure": "The whole page"},
        ),
    log:
        "results/logs/write_report.log",
    conda:
        "../../envs/entr.yaml"
    params:
        gallery={name: asdict(figure) for name, figure in GALLERY.items()},
        study=study(),
        configuration=configuration(),
        citation=Path(workflow.basedir, "CITATION.cff").read_text(encoding="utf-8"),
        code=code_digest("write_report", *REPORT),
    message:
        "writing the report"
    script:
        "../scripts/write_report.py"


# what a practitioner takes home
rule recommend:
    input:
        cells="results/tables/cells.csv",
        summary="results/tables/summary.csv",
    output:
        table="results/tables/recommendation.csv",
        text=report(
            "results/recommendation.md",
            caption="../report/recommendation.rst",
            category="Tables",
            labels={"figure": "Which network to take"},
        ),
    log:
        "results/logs/recommend.log",
    conda:
        "../../envs/entr.yaml"
    params:
        settings=study(),
        limits=settings.recommend.model_dump(),
        code=code_digest("recommend"),
    message:
        "choosing the network to take home"
    script:
        "../scripts/recommend.py"


rule export_best:
    input:
        recommendation="results/tables/recommendation.csv",
        networks=collect(
            "results/cells/{{dataset}}/{model}/{regime}/seed{seed}/model.safetensors",
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
    output:
        directory("results/best/{dataset}"),
    log:
        "results/logs/export_best/{dataset}.log",
    conda:
        "../../envs/entr.yaml"
    params:
        about=about_data,
        code=code_digest("export_best"),
    message:
        "exporting the network of {wildcards.dataset} to take home"
    script:
        "../scripts/export_best.py"


# what is finished while a grid still grows: no output, so that it runs whenever it is asked for, and no
# input, so that it trains nothing
rule so_far:
    log:
        "results/logs/so_far.log",
    conda:
        "../../envs/entr.yaml"
    params:
        metrics=collect(
            "results/cells/{dataset}/{model}/{regime}/seed{seed}/metrics.json",
            dataset=grid.datasets,
            model=grid.models,
            regime=grid.regimes,
            seed=grid.seeds,
        ),
        inference=collect(
            "results/inference/{model}/{size}px.csv",
            model=grid.models,
            size=settings.sizes(),
        ),
        finished=collect(
            "results/inference/{model}/finished/{dataset}.csv",
            model=grid.models,
            dataset=grid.datasets,
        ),
        settings=study(),
        kept="results/checkpoints",
        folder="results/so_far",
    message:
        "looking at what is done so far"
    script:
        "../scripts/so_far.py"
