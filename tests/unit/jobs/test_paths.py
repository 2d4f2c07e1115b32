from pathlib import Path

import pytest
from conftest import ROOT

from entr.jobs import paths


def test_cell_of_inverts_the_pattern_of_its_directory():
    cell = {"dataset": "oxford-flowers", "model": "tf_efficientnet_b0.in1k", "regime": "no-increase", "seed": 12}
    directory = Path(paths.CELL.format(**cell))
    assert paths.cell_of(directory / "metrics.json") == cell
    assert paths.cell_of(Path("/elsewhere") / directory / "history.csv") == cell


@pytest.mark.parametrize(
    "path",
    [
        "results/tables/metrics.csv",
        "results/data/ucm/splits/seed0.csv",
        "results/checkpoints/ucm/resnet18/gradual/seed0.npz",
        "results/cells/ucm/resnet18/gradual/seed/metrics.json",
        "metrics.json",
    ],
)
def test_file_outside_the_directory_of_a_cell_is_rejected(path):
    with pytest.raises(ValueError, match="is not in the directory of a cell"):
        paths.cell_of(path)


def test_locations_exist():
    assert paths.REPOSITORY == ROOT
    assert (paths.PACKAGE / "jobs" / "paths.py").is_file()
    assert (paths.SCRIPTS / "train.py").is_file()
    assert (paths.TEMPLATES / "report.html.j2").is_file()
