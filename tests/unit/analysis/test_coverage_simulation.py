import numpy as np
import pytest

from entr.analysis import coverage_simulation
from entr.analysis.coverage_simulation import Truth
from entr.jobs.tables import read_table
from entr.metrics.labels import FINAL, SUBTOTAL


def test_simulated_accuracies_have_the_requested_effect():
    rng = np.random.default_rng(0)
    truth = Truth(accuracy={"gradual": -0.02, "stepwise": 0.02})
    accuracy = coverage_simulation.simulate_accuracy(rng, truth, ["ucm"], 3000, ("no-increase", "gradual", "stepwise"))
    differences = (accuracy[..., 1:] - accuracy[..., :1]).mean((0, 1, 2))
    assert differences == pytest.approx([-0.02, 0.02], abs=0.002)


def test_simulated_cells_of_a_seed_are_correlated():
    rng = np.random.default_rng(0)
    accuracy = coverage_simulation.simulate_accuracy(rng, Truth(), ["ucm"], 500, ("no-increase", "gradual"))
    control, gradual = accuracy[0, :, 0, 0], accuracy[0, :, 0, 1]
    assert np.corrcoef(control, gradual)[0, 1] > 0.2
    assert set(np.round(accuracy.ravel() * 200, 6) % 1) == {0.0}


def test_unaffected_model_has_no_effect():
    truth = Truth(time={"gradual": 0.5}, unaffected=("ucm", "resnet34"))
    rng = np.random.default_rng(0)
    seconds = coverage_simulation.simulate_seconds(rng, truth, ["steel", "ucm"], 200, ("no-increase", "gradual"))
    ratios = (seconds[..., 1] / seconds[..., 0]).mean(1)
    assert ratios[1] == pytest.approx([0.5, 1, 0.5], abs=0.02)
    assert ratios[0] == pytest.approx(0.5, abs=0.02)


def test_student_interval_has_nominal_coverage_and_bootstrap_of_few_seeds_has_not():
    row = coverage_simulation.simulate_coverage(100, seeds=(3,), datasets=(3,)).query("not shared_luck").iloc[0]
    # three binomial standard errors of 100 grids
    assert row["student"] > 0.95 - 0.065
    assert row["bootstrap"] < 0.95 - 0.065
    assert row["false_decisive"] < 0.05 + 0.065


def test_hypothesis_is_rarely_supported_without_effect():
    verdicts = coverage_simulation.simulate_verdicts(
        10, seeds=(3,), scenarios=("faster, accuracy falls by the margin",)
    )
    assert verdicts.query("claim == 'ENTR'")["supported"].iloc[0] <= 2 / 10


def test_hypothesis_is_often_supported_with_a_large_effect():
    verdicts = coverage_simulation.simulate_verdicts(6, seeds=(10,), scenarios=("ENTR holds, accuracy rises by 0.02",))
    assert verdicts.query("claim == 'ENTR'")["supported"].iloc[0] >= 0.5


def test_corrected_interval_alone_covers_if_folds_are_correlated():
    rows = coverage_simulation.simulate_corrections(150, seeds=(30,)).query("shared_luck").set_index("interval")
    # three binomial standard errors of 150 grids
    assert rows.loc["corrected", "coverage"] > 0.95 - 0.055
    assert (rows.drop("corrected")["coverage"] < 0.95 - 0.055).all()


def test_every_image_is_validated_once_per_partition():
    rng = np.random.default_rng(0)
    folds, images = coverage_simulation.simulate_paired_predictions(rng, Truth(images=20), 20)
    assert (folds.shape, images.shape) == ((20,), (200,))
    assert folds.mean() == pytest.approx(images.mean())


def test_answer_is_faster_if_times_differ_and_seldom_as_accurate_at_the_margin():
    answers = coverage_simulation.simulate_answers(
        20, seeds=(10,), scenarios=("faster, accuracy falls by the margin",)
    ).set_index(["target", "part"])
    assert (answers.xs("faster", level="part")["yes"] == 1).all()
    assert (answers.xs("as accurate", level="part")["yes"] <= 4 / 20).all()


def test_simulated_grid_is_a_table_of_metrics():
    table = coverage_simulation.simulate_metrics(np.random.default_rng(0), Truth(), ("ucm",), 2)
    keys = ["dataset", "model", "regime", "seed", "stage", "resolution", "metric", "time_basis"]
    assert not table.duplicated(keys).any()
    assert set(table["stage"]) == {SUBTOTAL, FINAL}


def test_tables_are_written_between_the_markers(tmp_path):
    document, table = tmp_path / "statistics.md", tmp_path / "simulation.csv"
    document.write_text(f"before\n{coverage_simulation.BEGIN}old\n{coverage_simulation.END}after\n", encoding="utf-8")
    studies = {
        "coverage": coverage_simulation.simulate_coverage(2, seeds=(3,), datasets=(1,)),
        "corrections": coverage_simulation.simulate_corrections(3, seeds=(10,)),
        "answers": coverage_simulation.simulate_answers(1, seeds=(6,), scenarios=("no effect",)),
        "verdicts": coverage_simulation.simulate_verdicts(1, seeds=(2,), scenarios=("no effect",)),
    }
    coverage_simulation.write_simulation(studies, table=table, document=document)
    text = document.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "\nold\n" not in text
    assert "| 1 | 3 | *A* difference | no |" in text
    assert "| corrected | no | 10 |" in text
    assert "| no effect | faster | these images | **0.0** / 100.0 |" in text
    assert "| no effect | ENTR | **0.0** |" in text
    assert read_table(table)["study"].tolist().count("coverage") == 4


def test_documentation_is_up_to_date_with_the_simulation(tmp_path):
    document = tmp_path / "statistics.md"
    document.write_text(coverage_simulation.DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")
    coverage_simulation.update_document(coverage_simulation.TABLE, document)
    assert document.read_text(encoding="utf-8") == coverage_simulation.DOCUMENT.read_text(encoding="utf-8")
