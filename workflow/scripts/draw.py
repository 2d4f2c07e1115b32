"""Draw one figure."""

from pathlib import Path

import pandas as pd

from entr import figures, guards

guards.report_to(snakemake.log[0])
tables = {name: pd.read_csv(path) for name, path in snakemake.input.items()}
shared = {name: snakemake.params[name] for name in ("datasets", "models", "regimes", "control", "basis")}
figures.draw(snakemake.wildcards.figure, figures.Results(**tables, **shared), Path(snakemake.output.html).parent)
