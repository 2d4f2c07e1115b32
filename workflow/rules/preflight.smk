# Whether this machine can run the grid. Without output, so that it runs whenever it is requested; without input, so that
# no job runs before it.
rule check_environment:
    log:
        "results/logs/check_environment.log",
    localrule: True
    conda:
        "../../envs/entr.yaml"
    params:
        settings=settings.model_dump(mode="json"),
        metrics=of_cells("metrics.json"),
        cores=CORES,
        # as in the profile: the value is computed for each job
        partitions={
            one.name: one.resources.get("slurm_partition").raw
            for one in workflow.rules
        },
        expected_hours=chosen.expected_hours if chosen else None,
        folder="results",
    message:
        "checking this machine"
    script:
        "../scripts/check_environment.py"
