"""Stratified folds of datasets with and without near-duplicates."""

import hashlib

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entr.data.split import split_dataset
from entr.jobs.errors import EntrError


def manifest_of(counts, copies=()):
    rows = [
        {
            "image": f"{label}/{number}.png",
            "label": label,
            "sha256": hashlib.sha256(f"{label}{number}".encode()).hexdigest(),
        }
        for label, count in counts.items()
        for number in range(count)
    ]
    rows = [row | {"group": group} for group, row in enumerate(rows)]
    # near-duplicates share the group but not the checksum
    rows += [
        {**rows[row], "image": f"copy-{number}.png", "sha256": f"{number}{rows[row]['sha256']}"}
        for number, row in enumerate(copies)
    ]
    return pd.DataFrame(rows)


def split_of(table, folder, seed, folds=10, test=0):
    table.to_csv(folder / "manifest.csv", index=False)
    split_dataset(folder / "manifest.csv", folder / "split.csv", seed=seed, folds=folds, test=test)
    return pd.read_csv(folder / "split.csv", dtype={"label": str}, keep_default_na=False)


@settings(max_examples=25)
@given(
    counts=st.dictionaries(st.sampled_from(["a", "NA", "3", "x y"]), st.integers(10, 40), min_size=2),
    copies=st.lists(st.integers(0, 19), max_size=8),
    seed=st.integers(0, 30),
)
def test_each_class_is_on_both_sides_and_near_duplicates_are_not(tmp_path, counts, copies, seed):
    table = manifest_of(counts, copies)
    split = split_of(table, tmp_path, seed)
    assert split["image"].tolist() == table["image"].tolist()
    for _, group in split.groupby("label"):
        assert group["validation"].nunique() == 2
    sides = split.assign(group=table["group"]).groupby("group")["validation"].nunique()
    assert sides.max() == 1
    assert split_of(table, tmp_path, seed).equals(split)


def test_split_does_not_depend_on_the_order_of_files(tmp_path):
    table = manifest_of({"a": 20, "b": 30})
    shuffled = table.sample(frac=1, random_state=1)
    one, two = (split_of(rows, tmp_path, 3).set_index("image")["validation"] for rows in (table, shuffled))
    assert one.sort_index().equals(two.sort_index())


def test_ten_seeds_validate_each_image_once_and_the_next_ten_use_another_partition(tmp_path):
    table = manifest_of({"a": 20, "b": 30})
    sides = pd.DataFrame({seed: split_of(table, tmp_path, seed)["validation"] for seed in range(20)})
    assert (sides[range(10)].sum(axis=1) == 1).all()
    assert (sides[range(10, 20)].sum(axis=1) == 1).all()
    assert not sides[0].equals(sides[10])
    assert sides.sum().tolist() == [5] * 20


def test_class_with_fewer_images_than_folds_is_an_error(tmp_path):
    with pytest.raises(EntrError, match=r"class 'b' .* has 9 distinct images, fewer than the 10 folds .* split\.folds"):
        split_of(manifest_of({"a": 20, "b": 9}, copies=[20, 21]), tmp_path, 0)


@pytest.mark.parametrize(
    ("counts", "problem"),
    [({}, "it has no rows"), ({"a": 20}, "has images of 1 classes, but a classifier needs at least two")],
)
def test_fewer_than_two_classes_are_an_error(tmp_path, counts, problem):
    table = manifest_of(counts).reindex(columns=["image", "label", "sha256", "group"])
    with pytest.raises(EntrError, match=problem):
        split_of(table, tmp_path, 0)


def test_group_of_near_duplicates_larger_than_a_fold_is_a_warning(tmp_path, caplog):
    table = manifest_of({"a": 20, "b": 20}, copies=[3] * 30)
    fractions = [split_of(table, tmp_path, seed)["validation"].mean() for seed in range(10)]
    assert max(fractions) > 0.4
    assert "instead of 10 % (a group of near-duplicates is larger than one fold)" in caplog.text


def test_test_images_are_the_same_for_every_seed_and_in_no_fold(tmp_path):
    table = manifest_of({"a": 40, "b": 60}, copies=[0, 0, 45, 99])
    splits = [split_of(table, tmp_path, seed, folds=5, test=0.2) for seed in range(12)]
    held_out = splits[0]["test"]
    assert all(split["test"].equals(held_out) for split in splits)
    assert not any((split["test"] & split["validation"]).any() for split in splits)
    validated = sum(split["validation"].astype(int) for split in splits[:5])
    assert (validated == (~held_out).astype(int)).all()
    shares = splits[0].assign(group=table["group"]).drop_duplicates("group").groupby("label")["test"].mean()
    assert shares.to_dict() == {"a": 0.2, "b": 0.2}
    assert splits[0].assign(group=table["group"]).groupby("group")["test"].nunique().max() == 1


def test_without_test_images_the_folds_are_those_of_all_images(tmp_path):
    split = split_of(manifest_of({"a": 20, "b": 20}), tmp_path, 0)
    assert not split["test"].any()


def test_too_few_images_without_the_test_images_are_one_clear_error(tmp_path):
    table = manifest_of({"a": 11, "b": 20})
    with pytest.raises(EntrError, match=r"class 'a' .* has \d+ distinct images, without the test images, fewer than"):
        split_of(table, tmp_path, 0, test=0.3)
    with pytest.raises(EntrError, match=r"class 'b' .* has 1 distinct images, fewer than .* or lower split\.folds$"):
        split_of(manifest_of({"a": 20, "b": 1}), tmp_path, 0, test=0.1)
    with pytest.raises(EntrError, match=r"too few images for split\.test: 0\.01 "):
        split_of(table, tmp_path, 0, test=0.01)
