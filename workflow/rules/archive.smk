# Cells are copied from an archived run, so that neither images nor training are needed.
from entr.report import archived_cells

try:
    archived = archived_cells.find_results(settings.archive)
    missing = (
        archived_cells.check_cells(archived, settings)
        if workflow.is_main_process
        else 0
    )
except EntrError as error:
    raise WorkflowError(str(error)) from None

if missing:
    logger.warning(
        f"archive: {missing} cells of the grid are not archived; tables and figures show the others"
    )


rule copy_archived_cell:
    input:
        metrics=f"{archived}/cells/{{dataset}}/{{model}}/{{regime}}/seed{{seed}}/metrics.json",
        history=f"{archived}/cells/{{dataset}}/{{model}}/{{regime}}/seed{{seed}}/history.csv",
        predictions=f"{archived}/cells/{{dataset}}/{{model}}/{{regime}}/seed{{seed}}/predictions.csv",
    output:
        metrics="<cell>/metrics.json",
        history="<cell>/history.csv",
        predictions="<cell>/predictions.csv",
    localrule: True
    message:
        "copying {wildcards.dataset} {wildcards.model} {wildcards.regime} seed {wildcards.seed}"
    shell:
        "cp --no-preserve=mode {input:q} $(dirname {output.metrics:q})"


# One by one, because only the cells of the first seed have steps.csv and lr_find.csv, and the other tables are per
# dataset or model.
rule copy_archived_table:
    input:
        f"{archived}/{{table}}.csv",
    output:
        "results/{table}.csv",
    wildcard_constraints:
        table="cells/.+/(steps|lr_find)|inference/.+|data/[^/]+/(manifest|rejected|duplicates)",
    localrule: True
    message:
        "copying {wildcards.table}.csv"
    shell:
        "cp --no-preserve=mode {input:q} {output:q}"
