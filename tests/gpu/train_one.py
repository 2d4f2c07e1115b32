"""Train one cell in a subprocess: ``python train_one.py OPTIONS``, with the arguments of `train_cell` as JSON."""

import json
import sys
import tempfile
from pathlib import Path

from entr.config.training_plan import Plan
from entr.devices import gpu_lock
from entr.metrics.cell_metrics import Cell
from entr.training.cell import train_cell

# the test process holds the GPU lock in /dev/shm
gpu_lock.SHARED_MEMORY = Path(tempfile.gettempdir())
options = json.loads(sys.argv[1])
train_cell(Cell.model_validate(options.pop("cell")), Plan.model_validate(options.pop("plan")), weights=None, **options)
