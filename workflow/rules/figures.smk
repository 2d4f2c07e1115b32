# Vega's JavaScript, bundled once and inlined in every page.
rule bundle_vega:
    output:
        "results/figures/vega.js",
    log:
        "results/logs/bundle_vega.log",
    conda:
        "../../envs/entr.yaml"
    params:
        code=code_digest("bundle_vega"),
    message:
        "bundling Vega"
    script:
        "../scripts/bundle_vega.py"


# Fig. 2 needs no cells.
rule plot_sample_images:
    input:
        library="results/figures/vega.js",
        manifests=collect("results/data/{dataset}/manifest.csv", dataset=grid.datasets),
        images=collect("results/data/{dataset}/images", dataset=grid.datasets),
    output:
        table="results/tables/sample_images.csv",
        html=f"results/figures/{SAMPLE_IMAGES}.html",
        svg=report(
            f"results/figures/{SAMPLE_IMAGES}.svg",
            caption="../report/figure.rst",
            category=CATALOGUE[SAMPLE_IMAGES].category,
            labels={"figure": CATALOGUE[SAMPLE_IMAGES].heading},
        ),
        png=f"results/figures/{SAMPLE_IMAGES}.png",
        spec=f"results/figures/{SAMPLE_IMAGES}.vl.json",
    log:
        f"results/logs/plot_figure/{SAMPLE_IMAGES}.log",
    conda:
        "../../envs/entr.yaml"
    params:
        titles=study["datasets"],
        figure=CATALOGUE[SAMPLE_IMAGES].plain(),
        code=code_digest("plot_sample_images"),
    message:
        "plotting the sample images"
    script:
        "../scripts/plot_sample_images.py"


# One job per figure, so that a change to the code of one redraws only that one.
rule plot_figure:
    input:
        library="results/figures/vega.js",
        tables=tables_of,
        images=images_of,
    output:
        html="results/figures/{figure}.html",
        svg=report(
            "results/figures/{figure}.svg",
            caption="../report/figure.rst",
            category=lambda wildcards: CATALOGUE[wildcards.figure].category,
            labels=lambda wildcards: {"figure": CATALOGUE[wildcards.figure].heading},
        ),
        png="results/figures/{figure}.png",
        spec="results/figures/{figure}.vl.json",
    log:
        "results/logs/plot_figure/{figure}.log",
    conda:
        "../../envs/entr.yaml"
    params:
        study=study_of,
        figure=lambda wildcards: CATALOGUE[wildcards.figure].plain(),
        plans=plans_of,
        code=lambda wildcards: code_digest(
            "plot_figure", CATALOGUE[wildcards.figure].source
        ),
    message:
        "plotting {wildcards.figure}"
    script:
        "../scripts/plot_figure.py"
