"""Say what is done and at work; collect, compare and judge the cells that are finished."""

from entr import guards, so_far

guards.report_to(snakemake.log[0])
given = {name: snakemake.params[name] for name in ("metrics", "inference", "finished", "settings", "kept", "folder")}
so_far.write(**given)
