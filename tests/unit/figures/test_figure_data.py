import numpy as np
import pandas as pd
import simulated

from entr.figures.figure_data import FigureData, complete_blocks, round_numbers, seed_count, with_intervals


def test_datasets_with_the_same_title_are_told_apart_by_name():
    design = simulated.design(("a", "b", "c")).model_copy(update={"datasets": {"a": "Same", "b": "Same", "c": "Other"}})
    assert FigureData({}, design).titles == {"a": "Same (a)", "b": "Same (b)", "c": "Other"}


def test_names_that_look_like_missing_numbers_are_read_as_text(tmp_path):
    table = pd.DataFrame({"label": ["nan", "NA", "01"], "time_basis": ["", "training", ""], "low": [np.nan, 1.5, 2]})
    table.to_csv(tmp_path / "some.csv", index=False)
    data = FigureData.read([tmp_path / "some.csv"], simulated.design())
    read = data.tables["some"]
    assert list(read["label"]) == ["nan", "NA", "01"]
    assert list(read["time_basis"]) == ["", "training", ""]
    assert np.isnan(read["low"][0])


def test_rows_outside_the_grid_are_left_out():
    table = pd.DataFrame({"dataset": ["ucm", "other"], "model": "resnet18", "regime": "gradual", "stage": "total"})
    data = FigureData({"summary": table}, simulated.design())
    assert list(data.rows("summary")["dataset"]) == ["UCM"]
    assert not len(data.rows("summary", stage="sub-total"))


def test_missing_interval_is_named_in_words_and_drawn_at_the_mean():
    rows = pd.DataFrame({"mean": [0.5, 0.5], "low": [0.4, np.nan], "high": [0.6, np.nan]})
    found = with_intervals(rows, "mean", ".1%")
    assert list(found["interval"]) == ["40.0% to 60.0%", "not available"]
    assert list(found["low"]) == [0.4, 0.5]


def test_means_compare_only_seeds_that_have_every_regime():
    rows = pd.DataFrame({"dataset": "ucm", "model": "m", "seed": [0, 0, 1], "regime": ["a", "b", "a"]})
    assert list(complete_blocks(rows)["seed"]) == [0, 0]
    assert len(complete_blocks(rows.iloc[[1, 2]])) == 2


def test_number_of_seeds_in_words():
    assert seed_count(pd.DataFrame({"n": []})) == "no seeds"
    assert seed_count(pd.DataFrame({"n": [1, 1]})) == "one replicate"
    assert seed_count(pd.DataFrame({"n": [3, 3]})) == "3 seeds"
    assert seed_count(pd.DataFrame({"n": [2, 5]})) == "2 to 5 seeds"


def test_numbers_are_rounded_to_significant_digits():
    rows = pd.DataFrame({"value": [123456.7, 0.000123456, 0, np.nan], "count": [1, 2, 3, 4]})
    rounded = round_numbers(rows)
    assert list(rounded["value"][:3]) == [123460, 0.00012346, 0]
    assert np.isnan(rounded["value"][3])
    assert list(rounded["count"]) == [1, 2, 3, 4]
