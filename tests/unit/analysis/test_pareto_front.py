import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from entr.analysis.aggregation import select_rows
from entr.analysis.pareto_front import front_shares, fronts_table, on_front, write_fronts
from entr.jobs.tables import read_table, write_table

CONTROL = "no-increase"
ACCURACIES = {CONTROL: [0.90, 0.92, 0.94], "gradual": [0.89, 0.93, 0.91], "small": [0.7, 0.7, 0.7]}
SECONDS = {CONTROL: 100.0, "gradual": 70.0, "small": 40.0}


def metrics(accuracies=ACCURACIES, seconds=SECONDS, datasets=("ucm",), models=("resnet18",)):
    """Return a table of metrics: accuracies of each regime by seed, and the same seconds for every seed."""
    rows = []
    for dataset, model, (regime, values) in itertools.product(datasets, models, accuracies.items()):
        for seed, accuracy in enumerate(values):
            cell = {"dataset": dataset, "model": model, "regime": regime, "seed": seed}
            key = cell | {"stage": "total-tta", "resolution": "phase"}
            time = seconds[regime]
            rows.append(key | {"metric": "accuracy", "time_basis": "", "value": accuracy})
            rows.append(key | {"metric": "time", "time_basis": "training", "value": time})
            rows.append(key | {"metric": "efficiency", "time_basis": "training", "value": np.sqrt(accuracy / time)})
    return pd.DataFrame(rows)


def front_of(table, scope="block", **keys):
    rows = select_rows(fronts_table(table, CONTROL), scope=scope, **keys)
    return rows.set_index("regime")


def test_front_excludes_regimes_that_another_one_dominates():
    time, accuracy = np.array([1, 2, 2, 3]), np.array([0.8, 0.9, 0.85, 0.9])
    assert on_front(accuracy, time).tolist() == [True, True, False, False]


def test_equal_regimes_do_not_dominate_each_other():
    assert on_front(np.array([0.8, 0.8]), np.array([1.0, 1.0])).tolist() == [True, True]


def test_share_of_three_seeds_is_that_of_all_27_draws():
    """The control is more accurate than `gradual` unless the mean of the draw says otherwise."""
    differences = np.subtract(ACCURACIES[CONTROL], ACCURACIES["gradual"])
    draws = list(itertools.product(differences, repeat=3))
    expected = np.mean([sum(draw) > 1e-9 for draw in draws])
    assert 0.5 < expected < 1
    front = front_of(metrics())
    # binomial standard error of 9999 draws
    assert front["front_share"][CONTROL] == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / 9999))
    assert front["front_share"]["gradual"] == 1
    assert front["front_share"]["small"] == 1
    assert front["on_front"].all()


def test_regimes_of_a_seed_stay_together():
    """`gradual` is always better by the same amount, although the seeds differ by much more."""
    accuracies = {CONTROL: [0.5, 0.7, 0.9], "gradual": [0.501, 0.701, 0.901]}
    front = front_of(metrics(accuracies))
    assert front["front_share"].to_dict() == {CONTROL: 0, "gradual": 1}
    assert front["on_front"].to_dict() == {CONTROL: False, "gradual": True}


def test_block_has_absolute_means_and_their_intervals():
    row = front_of(metrics()).loc["gradual"]
    assert row["accuracy"] == pytest.approx(0.91)
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((0.91 - 0.0497, 0.91 + 0.0497), abs=1e-4)
    assert (row["time"], row["unit"], row["comparator"], row["replicates"]) == (70, "s", "", 3)


def test_datasets_have_equal_weight_and_are_compared_with_the_control():
    faster = metrics(seconds=SECONDS | {"gradual": 17.5}, datasets=("neu",))
    many = {regime: values + values[:1] for regime, values in ACCURACIES.items()}
    row = front_of(pd.concat([faster, metrics(many)]), "all").loc["gradual"]
    assert row["time"] == pytest.approx(np.sqrt(0.175 * 0.7))
    of_three, of_four = (-0.01 + 0.01 - 0.03) / 3, (-0.01 + 0.01 - 0.03 - 0.01) / 4
    assert row["accuracy"] == pytest.approx((of_three + of_four) / 2)
    assert (row["unit"], row["comparator"], row["replicates"]) == ("1", CONTROL, 7)


def test_models_of_a_seed_are_resampled_together():
    """Opposite models cancel out in every draw, and only in the mean if they were drawn separately."""
    low, high = {CONTROL: [0.8] * 4, "gradual": [0.7, 0.9] * 2}, {CONTROL: [0.8] * 4, "gradual": [0.91, 0.71] * 2}
    seconds = {CONTROL: 100.0, "gradual": 110.0}
    table = pd.concat([metrics(low, seconds, models=("a",)), metrics(high, seconds, models=("b",))])
    assert front_of(table, "dataset")["front_share"].to_dict() == {CONTROL: 1, "gradual": 1}


def test_seed_that_lacks_a_regime_is_left_out():
    table = metrics()
    table = table[~((table["regime"] == "small") & (table["seed"] == 2))]
    front = front_of(table)
    assert set(front["replicates"]) == {2}
    assert front["accuracy"][CONTROL] == pytest.approx(0.91)


def test_regime_that_a_model_lacks_competes_only_for_the_other():
    other = metrics(models=("resnet50",)).query("regime != 'small'")
    table = pd.concat([metrics(), other])
    assert list(front_of(table, "dataset").index) == [CONTROL, "gradual"]
    assert list(front_of(table, model="resnet18").index) == [CONTROL, "gradual", "small"]
    assert list(front_of(table, model="resnet50").index) == [CONTROL, "gradual"]


def test_grid_without_control_has_the_fronts_of_single_models_only():
    assert set(fronts_table(metrics().query(f"regime != '{CONTROL}'"), CONTROL)["scope"]) == {"block"}


def test_single_regime_has_no_front():
    assert fronts_table(metrics().query(f"regime == '{CONTROL}'"), CONTROL).empty


@pytest.mark.parametrize(
    ("seeds", "note"),
    [
        (1, "one replicate: no share"),
        (2, "fewer than 8 replicates: the share is too close to 0 or 1"),
        (8, ""),
    ],
)
def test_note_states_the_limitations_of_the_sample_size(seeds, note):
    accuracies = {CONTROL: np.linspace(0.8, 0.9, seeds), "gradual": np.linspace(0.9, 0.8, seeds)}
    front = front_of(metrics(accuracies))
    assert set(front["note"]) == {note}
    assert front["front_share"].notna().all() == (seeds > 1)
    assert front["on_front"].any()
    assert front["accuracy_low"].notna().all() == (seeds > 2)


@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.18), (10, 0.07)])
def test_shares_are_too_extreme_with_few_seeds_as_documented(seeds, expected):
    """A slower regime that is exactly as accurate should have a share above 95 % in 5 % of experiments."""
    rng = np.random.default_rng(0)
    experiments = np.zeros((600, seeds, 2, 2))
    experiments[:, :, 1] = np.stack([rng.normal(0, 0.01, (600, seeds)), np.ones((600, seeds))], axis=-1)
    found = np.mean([front_shares([sample], draws=400)[1] > 0.95 for sample in experiments])
    assert found == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / 600))


def test_table_is_reproducible_and_keeps_the_order_of_the_grid(tmp_path):
    write_table(metrics(), tmp_path / "metrics.csv")
    for name in ("first", "second"):
        write_fronts(tmp_path / "metrics.csv", CONTROL, table=tmp_path / f"{name}.csv")
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
    assert list(read_table(tmp_path / "first.csv")["regime"]) == 3 * [CONTROL, "gradual", "small"]


# few different values, so that ties occur
SAMPLES = st.tuples(st.integers(2, 6), st.integers(2, 5)).flatmap(
    lambda shape: arrays(float, (*shape, 2), elements=st.integers(0, 4).map(float))
)


@given(SAMPLES)
def test_regime_that_is_dominated_in_every_seed_is_never_on_the_front(sample):
    worse = sample[:, :1] + [-1, 1]
    shares = front_shares([np.concatenate([sample, worse], axis=1)], draws=200)
    assert shares[-1] == 0
    assert ((shares >= 0) & (shares <= 1)).all()


@given(SAMPLES)
def test_cheapest_regime_is_always_on_the_front(sample):
    cheapest = sample[:, :1] * [1, 0] + [0, -1]
    assert front_shares([np.concatenate([sample, cheapest], axis=1)], draws=200)[-1] == 1


@given(SAMPLES)
def test_some_regime_is_on_the_front_of_each_draw(sample):
    assert front_shares([sample], draws=200).sum() >= 1


@given(SAMPLES, st.randoms(use_true_random=False))
def test_order_of_the_regimes_does_not_matter(sample, random):
    order = list(range(sample.shape[1]))
    random.shuffle(order)
    assert front_shares([sample[:, order]], draws=200).tolist() == front_shares([sample], draws=200)[order].tolist()


@given(SAMPLES)
def test_further_regime_puts_no_other_on_the_front(sample):
    assert (front_shares([sample[:, :-1]], draws=200) >= front_shares([sample], draws=200)[:-1]).all()
