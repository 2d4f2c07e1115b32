"""The library of the ENTR workflow, which measures whether models train more efficiently if they start on small images.

It contains everything that can be understood and tested without running Snakemake. Each script in the parent directory
calls one function of it. The packages, from the bottom up, and the packages that each may import:

| package | subject | may import |
| --- | --- | --- |
| jobs | errors, logs, files, locks, tables, paths, code digests | |
| config | schema and validation of the configuration, training plans | jobs |
| metrics | schema and scores of the results of a cell, names in the tables | jobs config |
| data | originals, downscaled images, near-duplicates, splits | jobs config |
| devices | choice of device and precision, GPU lock | jobs metrics |
| models | architectures, pretrained weights | jobs config data |
| training | training and evaluation of a cell | jobs config metrics devices models |
| analysis | tables over all cells, effects, claims, recommendation | jobs config metrics |
| figures | figures from the tables | jobs config metrics |
| preflight | checks of this machine before a run | jobs config metrics data devices models |
| benchmark | inference benchmark, runtime estimate | jobs config metrics data devices models figures training |
| report | verdict, recommendation, progress, report | jobs config metrics training analysis figures |
| deploy | exported model, prediction, web page | jobs config metrics data devices models analysis figures training |

The modules that `analysis`, `figures` and `report` use do not import torch, so that their jobs start quickly. A test,
``tests/unit/test_import_directions.py``, checks both rules.
"""
