import numpy as np
import pytest

from entr import claims, simulation
from entr.simulation import Truth


def test_simulated_accuracies_have_the_effect_that_was_asked_for():
    rng = np.random.default_rng(0)
    truth = Truth(accuracy={"gradual": -0.02, "stepwise": 0.02})
    found = simulation.right_answers(rng, truth, ["ucm"], 3000, ("no-increase", "gradual", "stepwise"))
    differences = (found[..., 1:] - found[..., :1]).mean((0, 1, 2))
    assert differences == pytest.approx([-0.02, 0.02], abs=0.002)


def test_cells_of_a_seed_are_correlated_as_folds_are():
    found = simulation.right_answers(np.random.default_rng(0), Truth(), ["ucm"], 500, ("no-increase", "gradual"))
    control, treated = found[0, :, 0, 0], found[0, :, 0, 1]
    assert np.corrcoef(control, treated)[0, 1] > 0.2
    assert set(np.round(found.ravel() * 200, 6) % 1) == {0.0}


def test_a_spared_network_has_no_effect():
    truth = Truth(time={"gradual": 0.5}, spared=("ucm", "resnet34"))
    time = simulation.seconds(np.random.default_rng(0), truth, ["steel", "ucm"], 200, ("no-increase", "gradual"))
    ratios = (time[..., 1] / time[..., 0]).mean(1)
    assert ratios[1] == pytest.approx([0.5, 1, 0.5], abs=0.02)
    assert ratios[0] == pytest.approx(0.5, abs=0.02)


def test_intervals_cover_and_bootstrap_of_few_seeds_does_not():
    found = simulation.coverage(100, seeds=(3,), datasets=(3,)).query("not shared_luck").iloc[0]
    # three binomial standard errors of 100 grids
    assert found["student"] > 0.95 - 0.065
    assert found["bootstrap"] < 0.95 - 0.065
    assert found["false_shown"] < 0.05 + 0.065


def test_no_effect_supports_no_hypothesis():
    found = simulation.verdicts(10, seeds=(3,), scenarios=("faster, accuracy falls by the margin",))
    assert found.query("claim == 'ENTR'")["supported"].iloc[0] <= 2 / 10


def test_an_effect_is_found():
    found = simulation.verdicts(6, seeds=(10,), scenarios=("ENTR holds, accuracy rises by 0.02",))
    assert found.query("claim == 'ENTR'")["supported"].iloc[0] >= 0.5


def test_a_simulated_grid_is_a_table_of_cells():
    table = simulation.cells(np.random.default_rng(0), Truth(), ("ucm",), 2)
    keys = ["dataset", "model", "regime", "seed", "stage", "at", "measure", "basis"]
    assert not table.duplicated(keys).any()
    assert set(table["stage"]) == {claims.EARLY, claims.FINAL}


def test_the_tables_are_written_between_their_marks(tmp_path, monkeypatch):
    document, table = tmp_path / "statistics.md", tmp_path / "simulation.csv"
    document.write_text(f"before\n{simulation.BEGIN}of yesterday\n{simulation.END}after\n", encoding="utf-8")
    monkeypatch.setattr(simulation, "DOCUMENT", document)
    monkeypatch.setattr(simulation, "TABLE", table)
    covered = simulation.coverage(2, seeds=(3,), datasets=(1,))
    simulation.write(covered, simulation.verdicts(1, seeds=(2,), scenarios=("no effect",)))
    text = document.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "of yesterday" not in text
    assert "| no effect | ENTR | **0.0** |" in text
    assert table.read_text().startswith("datasets,seeds,")
