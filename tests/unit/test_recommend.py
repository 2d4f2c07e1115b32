import pandas as pd
import pytest

from entr import recommend, tables

SETTINGS = {"datasets": {"birds": "Birds"}, "basis": "training", "folds": 10}
NO_LIMITS = {"max_seconds": None, "min_accuracy": None}
ACCURACY = {
    ("small", "gradual"): [0.80, 0.82, 0.81, 0.79],
    ("small", "no-increase"): [0.81, 0.80, 0.82, 0.80],
    ("large", "gradual"): [0.90, 0.91, 0.92, 0.90],
}
TIME = {("small", "gradual"): 50.0, ("small", "no-increase"): 100.0, ("large", "gradual"): 400.0}


def study(accuracy=ACCURACY, seeds=4):
    """Tables of cells and of their summary, as a grid leaves them."""
    rows = []
    for (model, regime), values in accuracy.items():
        for seed, value in enumerate(values[:seeds]):
            seconds = TIME[model, regime] * (1 + 0.01 * seed)
            shared = {"dataset": "birds", "model": model, "regime": regime, "seed": seed, "stage": "total-tta"}
            shared |= {"at": "phase", "size": 60}
            rows += [
                shared | {"measure": "accuracy", "basis": "", "value": value, "unit": "share"},
                shared | {"measure": "time", "basis": "training", "value": seconds, "unit": "s"},
                shared | {"measure": "efficiency", "basis": "training", "value": (value / seconds) ** 0.5, "unit": "x"},
            ]
    cells = pd.DataFrame(rows)
    return cells, tables.summary_of(cells)


def choices(limits=NO_LIMITS, **changed):
    found = recommend.choices_of(*study(**changed), "birds", SETTINGS, {**NO_LIMITS, **limits})
    return {choice.goal: choice for choice in found}


def test_the_most_accurate_and_the_most_efficient_are_chosen_with_their_intervals():
    found = choices()
    assert set(found) == {"accurate", "efficient"}
    assert (found["accurate"].model, found["accurate"].regime) == ("large", "gradual")
    assert (found["efficient"].model, found["efficient"].regime) == ("small", "gradual")
    assert found["accurate"].accuracy == pytest.approx(0.9075)
    assert found["accurate"].accuracy_low < 0.9075 < found["accurate"].accuracy_high
    assert found["accurate"].taken
    assert not found["efficient"].taken


def test_of_two_that_are_equally_accurate_the_cheaper_is_chosen():
    equal = {("large", "gradual"): [0.8] * 3, ("small", "gradual"): [0.8] * 3}
    assert choices(accuracy=equal, seeds=3)["accurate"].model == "small"


def test_the_replicate_to_take_is_that_of_median_accuracy():
    assert choices()["accurate"].seed == 3
    assert choices(seeds=3)["accurate"].seed == 1


def test_limits_decide_what_is_taken():
    found = choices({"max_seconds": 120.0})
    assert found["within"].regime == "no-increase"
    assert found["within"].taken
    assert not found["accurate"].taken
    assert choices({"min_accuracy": 0.85})["within"].model == "large"


def test_limits_that_nothing_meets_are_said_with_what_there_is():
    found = choices({"max_seconds": 10.0})["within"]
    assert found.model == ""
    assert found.sentence == (
        "nothing that was run is within your limits: the highest accuracy is 90.8 % in 406 s, the shortest time 50.8 s"
    )
    assert not found.taken


def test_a_difference_that_is_noise_is_called_so_and_one_that_is_not_is_not():
    assert choices()["accurate"].sentence.startswith("above the next, small with no-increase, by more than noise: +")
    close = {key: values for key, values in ACCURACY.items() if key[0] == "small"}
    sentence = choices(accuracy=close)["accurate"].sentence
    assert sentence.startswith("its lead over the next, small with gradual, may be noise: +0.3 points [-")
    # which makes the time of training what counts
    assert sentence.endswith("; small with gradual is the cheaper, 50.8 s against 102 s")


def test_two_replicates_tell_nothing():
    assert choices(seeds=2)["accurate"].sentence == (
        "fewer than 3 replicates cannot tell it from small with gradual; add seeds"
    )


def test_the_words_have_every_choice_the_limits_and_where_the_network_lies(tmp_path):
    cells, summary = study()
    cells.to_csv(tmp_path / "cells.csv", index=False)
    summary.to_csv(tmp_path / "summary.csv", index=False)
    limits = {"max_seconds": 120.0, "min_accuracy": 0.5}
    outputs = {"table": tmp_path / "table.csv", "text": tmp_path / "text.md"}
    recommend.write(tmp_path / "cells.csv", tmp_path / "summary.csv", settings=SETTINGS, limits=limits, **outputs)
    text = outputs["text"].read_text()
    assert "| the best within your limits | small | no-increase | 80.8 %" in text
    assert "`results/best/birds` has small with no-increase, seed 3" in text
    assert "*T* of at most 120 s and *A* of at least 50 %" in text
    assert pd.read_csv(outputs["table"])["taken"].tolist() == [False, False, True]
