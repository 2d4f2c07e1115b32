import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from data_dictionary import problems_of, tables_in, undocumented_tables
from factories import flip_bit, write_metrics_file
from scipy import stats

from entr.jobs.errors import EntrError
from entr.jobs.nested_values import flatten
from entr.jobs.tables import read_table, write_table
from entr.report.provenance import Commit, Provenance
from entr.report.run_comparison import Run, compare_predictions, compare_results, write_comparison

ACCURACIES = [0.5, 0.6, 0.7, 0.65]
SECONDS = [100.0, 110.0, 90.0, 105.0]
GROUP = {"dataset": "ucm", "model": "resnet18", "regime": "gradual"}
IMAGES = [f"a/{number}.png" for number in range(10)]
PROVENANCE = Provenance(
    version="0.2.0",
    commit=Commit(id="a" * 40, modified=False),
    started=datetime(2026, 1, 1, tzinfo=UTC),
    finished=datetime(2026, 1, 2, tzinfo=UTC),
    configuration={"time_basis": "training", "training": {"learning_rate": 0.01, "sizes": [1, 2]}},
    code={"train": "0" * 16, "split": "1" * 16},
    machines=(),
    platform="Linux",
    packages={"torch": "2.12.0"},
)


def write_run(folder, accuracies=ACCURACIES, seconds=SECONDS, *, seeds=None, device="A", shift=0.0, checksum="0"):
    """Write the results of a run with one dataset, model and regime; `shift` is added to each probability."""
    results = folder / "results"
    seeds = range(len(accuracies)) if seeds is None else seeds
    rows, cells = [], []
    for seed, accuracy, time in zip(seeds, accuracies, seconds, strict=True):
        cell = GROUP | {"seed": seed}
        key = cell | {"stage": "total-tta", "resolution": "phase", "size": 32}
        efficiency = np.sqrt(accuracy / time)
        rows += [
            key | {"metric": "accuracy", "time_basis": "", "value": accuracy, "unit": "fraction"},
            key | {"metric": "time", "time_basis": "training", "value": time, "unit": "s"},
            key | {"metric": "efficiency", "time_basis": "training", "value": efficiency, "unit": "s^-1/2"},
        ]
        cells.append(
            cell | {"training_images": 90, "validation_images": 10, "device": device, "threads": 2, "weights": "none"}
        )
        directory = results / "cells" / "ucm" / "resnet18" / "gradual" / f"seed{seed}"
        predictions = pd.DataFrame({"stage": "total-tta", "resolution": "phase", "size": 32, "image": IMAGES})
        predictions = predictions.assign(label="a", predicted="b" if shift else "a")
        for name in ("probability_of_label", "probability_of_predicted"):
            predictions[name] = 0.5 + shift
        write_table(predictions, directory / "predictions.csv")
        plan = {"phases": [{"phase": "sgdr", "sizes": [24]}], "training": {"learning_rate": 0.01 + shift}}
        write_metrics_file(directory, {"plan": plan})
    write_table(pd.DataFrame(rows), results / "tables" / "metrics.csv")
    write_table(pd.DataFrame(cells), results / "tables" / "cells.csv")
    manifest = pd.DataFrame({"image": IMAGES, "label": "a", "sha256": checksum})
    write_table(manifest, results / "data" / "ucm" / "manifest.csv")
    return folder


def write_record(folder, **changes):
    record = PROVENANCE.model_copy(update=changes)
    (folder / "results" / "provenance.json").write_text(record.model_dump_json())


@pytest.fixture
def before(tmp_path):
    return write_run(tmp_path / "before")


def changes(before, after):
    runs = Run.read(before), Run.read(after)
    table = compare_results(*runs, compare_predictions(*runs))
    return table.set_index("metric")


def test_seeds_on_the_same_images_are_paired(before, tmp_path):
    faster = [0.9 * time + noise for time, noise in zip(SECONDS, [0, 1, -1, 2], strict=True)]
    after = write_run(tmp_path / "after", [value + 0.05 for value in ACCURACIES], faster)
    table = changes(before, after)
    assert set(table["pairing"]) == {"paired"}
    assert table.loc["accuracy", "change"] == pytest.approx(0.05)
    logarithms = np.log(faster) - np.log(SECONDS)
    expected = stats.ttest_1samp(logarithms, 0).confidence_interval()
    assert table.loc["time", ["change", "low", "high"]].tolist() == pytest.approx([logarithms.mean(), *expected])
    # Nadeau and Bengio: the interval for new images is wider by sqrt((1/4 + 1/9) / (1/4))
    half = table.loc["time", "high"] - table.loc["time", "change"]
    corrected = table.loc["time", "high_corrected"] - table.loc["time", "change"]
    assert corrected / half == pytest.approx(np.sqrt((1 / 4 + 1 / 9) * 4))


@pytest.mark.parametrize("other", [{"checksum": "1"}, {"seeds": [10, 11, 12, 13]}])
def test_other_images_or_seeds_are_compared_without_pairing(before, tmp_path, other):
    later = [value + 0.05 for value in ACCURACIES]
    table = changes(before, write_run(tmp_path / "after", later, **other))
    row = table.loc["accuracy"]
    assert row["pairing"] == "unpaired"
    assert "not paired (Welch)" in row["note"]
    expected = stats.ttest_ind(later, ACCURACIES, equal_var=False).confidence_interval()
    assert row[["low", "high"]].tolist() == pytest.approx(list(expected))
    assert np.isnan(row["low_corrected"])


def test_only_seeds_of_both_runs_are_paired(before, tmp_path):
    after = write_run(tmp_path / "after", [0.7, 0.8, 0.9], [100.0, 100.0, 100.0], seeds=[2, 3, 4])
    row = changes(before, after).loc["accuracy"]
    assert (row["pairing"], row["replicates"], row["seeds_before"], row["seeds_after"]) == ("paired", 2, 4, 3)
    assert row["change"] == pytest.approx(((0.7 - 0.7) + (0.8 - 0.65)) / 2)
    assert "seeds without a counterpart" in row["note"]


def test_one_seed_has_no_interval(tmp_path):
    before = write_run(tmp_path / "before", [0.5], [100.0])
    row = changes(before, write_run(tmp_path / "after", [0.6], [90.0])).loc["time"]
    assert row["change"] == pytest.approx(np.log(0.9))
    assert np.isnan(row["low"])
    assert row["note"] == "one pair of seeds: no interval"


def test_efficiency_of_zero_accuracy_is_left_out(tmp_path):
    before = write_run(tmp_path / "before", [0.0, 0.0], [100.0, 100.0])
    row = changes(before, write_run(tmp_path / "after", [0.5, 0.5], [100.0, 100.0])).loc["efficiency"]
    assert row["replicates"] == 0
    assert np.isnan(row["change"])


def test_predictions_are_compared_digit_for_digit(before, tmp_path):
    same = compare_predictions(Run.read(before), Run.read(write_run(tmp_path / "same")))
    assert same["identical"].all()
    other = compare_predictions(Run.read(before), Run.read(write_run(tmp_path / "other", shift=1e-7)))
    assert not other["identical"].any()
    assert other["changed"].tolist() == [10] * 4
    assert other["largest_difference"].tolist() == pytest.approx([1e-7] * 4)


def test_unchanged_run_is_reported_as_equal(before, tmp_path, caplog):
    write_record(before)
    after = write_run(tmp_path / "after")
    write_record(after)
    with caplog.at_level("INFO", "entr"):
        write_comparison(before, after, folder=tmp_path / "comparison")
    assert [record.getMessage() for record in caplog.records] == [
        "A: equal in the only group",
        "T: equal in the only group",
        "As: equal in the only group",
        "predictions: identical digit for digit in 4 of 4 common cells",
        "differences: none is recorded",
        f"see {tmp_path / 'comparison' / 'comparison.md'}",
    ]


@pytest.mark.parametrize("name", ["predictions.csv", "metrics.json"])
def test_damaged_file_of_a_cell_is_named(before, tmp_path, name):
    after = write_run(tmp_path / "after")
    path = after / "results/cells/ucm/resnet18/gradual/seed2" / name
    flip_bit(path, position=20)
    with pytest.raises(EntrError, match=rf"^{path} is damaged \("):
        write_comparison(before, after, folder=tmp_path / "comparison")
    assert not (tmp_path / "comparison").exists()


def test_run_of_a_version_without_checksums_is_compared_and_the_log_says_so(before, tmp_path, caplog):
    for path in before.rglob("metrics.json"):
        path.write_text(json.dumps({"plan": json.loads(path.read_text())["plan"]}))
    with caplog.at_level("INFO", "entr"):
        write_comparison(before, write_run(tmp_path / "after"), folder=tmp_path / "comparison")
    (line,) = (text for text in caplog.messages if "not verified" in text)
    assert line == (
        f"{before / 'results'}: predictions of 4 of 4 cells are not verified, because an earlier version recorded no "
        "checksums"
    )
    assert "predictions: identical digit for digit in 4 of 4 common cells" in caplog.messages


def test_differences_of_configuration_code_machine_and_packages_are_listed(before, tmp_path):
    write_record(before)
    after = write_run(tmp_path / "after", device="B", checksum="1")
    write_record(
        after,
        configuration={"time_basis": "training", "training": {"learning_rate": 0.02, "sizes": [1, 2], "new": True}},
        code={"train": "f" * 16, "split": "1" * 16},
        packages={"torch": "2.13.0"},
        commit=Commit(id="b" * 40, modified=True),
    )
    write_comparison(before, after, folder=tmp_path)
    assert read_table(tmp_path / "differences.csv").to_numpy().tolist() == [
        ["configuration", "training.learning_rate", "0.01", "0.02"],
        ["configuration", "training.new", "", "true"],
        ["code", "commit", "a" * 12, f"{'b' * 12}, modified"],
        ["code", "rule train", "0" * 16, "f" * 16],
        ["machine", "device", "A", "B"],
        ["packages", "torch", "2.12.0", "2.13.0"],
        ["images", "ucm", "10 images", "10 images, 10 of them with other content or another path"],
    ]


def test_configuration_of_a_run_without_provenance_is_that_of_its_cells(before, tmp_path):
    after = write_run(tmp_path / "after", shift=0.01)
    write_record(after)
    write_comparison(before, after, folder=tmp_path)
    assert read_table(tmp_path / "differences.csv").to_numpy().tolist() == [
        ["configuration", "everything but the training plans", "not recorded", "recorded"],
        ["configuration", "training.learning_rate", "0.01", "0.02"],
        ["code", "digests, version and commit", "not recorded", "recorded"],
        ["machine", "platform", "", "Linux"],
        ["packages", "versions", "not recorded", "recorded"],
    ]
    page = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert "| before | " in page
    assert "| 4 | not recorded |" in page


def test_run_from_an_archive_states_only_when_it_was_analysed(before, tmp_path):
    write_record(before, started=None)
    write_comparison(before, write_run(tmp_path / "after"), folder=tmp_path)
    page = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert f"| 4 | archived cells, analysed until {PROVENANCE.finished:%Y-%m-%d %H:%M} UTC, version " in page


def test_tables_are_documented(before, tmp_path):
    results = tmp_path / "results"
    write_comparison(before, write_run(tmp_path / "after"), folder=results / "comparison")
    problems = [
        problem for key, paths in tables_in(results).items() for path in paths for problem in problems_of(key, path)
    ]
    assert problems == []
    assert undocumented_tables(results) == []


def test_folder_without_a_finished_run_is_rejected(before, tmp_path):
    with pytest.raises(EntrError, match=r"does not contain a finished run: .*metrics\.csv does not exist"):
        write_comparison(before, tmp_path, folder=tmp_path)
    with pytest.raises(EntrError, match="add --config before=FOLDER"):
        write_comparison(None, before, folder=tmp_path)


def test_results_of_an_old_version_are_rejected(before, tmp_path):
    metrics = before / "results" / "tables" / "metrics.csv"
    write_table(read_table(metrics).rename(columns={"metric": "measure"}), metrics)
    with pytest.raises(
        EntrError, match=r"lacks the column metric; results from before version 0\.2 cannot be compared"
    ):
        write_comparison(before, before, folder=tmp_path)


def test_runs_without_a_common_regime_are_rejected(before, tmp_path):
    after = write_run(tmp_path / "after")
    for name in ("metrics", "cells"):
        path = after / "results" / "tables" / f"{name}.csv"
        write_table(read_table(path).assign(regime="stepwise"), path)
    with pytest.raises(EntrError, match="no dataset, model and regime in common"):
        write_comparison(before, after, folder=tmp_path)


def test_nested_settings_are_named_by_their_path():
    values = {"a": {"b": 1, "c": {}}, "phases": [{"name": "x"}, {"name": "y"}], "sizes": [1, 2]}
    assert flatten(values) == {
        "a.b": "1",
        "a.c": "{}",
        "phases.0.name": "x",
        "phases.1.name": "y",
        "sizes": "[1, 2]",
    }
