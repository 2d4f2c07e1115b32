"""Train one cell in a subprocess: ``python train_one.py OPTIONS``, with the arguments of `train_cell` as JSON."""

import json
import sys

from entr.config.training_plan import Plan
from entr.metrics.cell_metrics import Cell
from entr.training.cell import train_cell

options = json.loads(sys.argv[1])
train_cell(Cell.model_validate(options.pop("cell")), Plan.model_validate(options.pop("plan")), weights=None, **options)
