from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/config/datasets.yaml"
configfile: f"{workflow.basedir}/config/config.yaml"


# your own images
images = config.get("images")
if isinstance(images, str):
    # a path would replace the section `images` of the files below
    images = workflow.config_settings.overwrite_config["images"] = {"folder": images}
    config["images"] = dict(images)
if isinstance(images, dict) and "folder" in images:

    configfile: f"{workflow.basedir}/config/paper.yaml"
    configfile: f"{workflow.basedir}/config/own_images.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/result_checksums.smk"


if settings.archive:

    include: "workflow/rules/archive.smk"

else:

    include: "workflow/rules/fetch.smk"
    include: "workflow/rules/data.smk"
    include: "workflow/rules/train.smk"
    include: "workflow/rules/benchmark.smk"


include: "workflow/rules/analysis.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/deploy.smk"
include: "workflow/rules/provenance.smk"
include: "workflow/rules/preflight.smk"
include: "workflow/rules/terminal.smk"


# after the rules, because they do not apply to the wildcards of pathvars in rules that follow them
wildcard_constraints:
    dataset="|".join(settings.datasets),
    model="|".join(configured.grid.models),
    regime="|".join(settings.regimes),
    seed=r"\d+",
    figure="|".join(FIGURES),


# an archived run has no images and no models
from_images_and_models = (
    []
    if settings.archive
    else [
        # named here too, because Snakemake does not rebuild a deleted intermediate file whose products exist
        collect(rules.train.output, **GRID),
        collect("results/models/{dataset}", dataset=grid.datasets),
        collect(rules.analyse_errors.output, dataset=grid.datasets),
        rules.record_provenance.output,
    ]
)


rule all:
    default_target: True
    input:
        collect("results/figures/{figure}.html", figure=SHOWN),
        "results/report.html",
        rules.summarise_datasets.output,
        rules.aggregate_metrics.output,
        rules.aggregate_histories.output,
        rules.estimate_effects.output,
        rules.estimate_fronts.output,
        rules.measure_time_to_accuracy.output,
        rules.evaluate_claims.output,
        rules.recommend.output,
        from_images_and_models,
