import hashlib

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entr import splits
from entr.guards import EntrError


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
    # copies look the same and have other bytes
    rows += [
        {**rows[row], "image": f"copy-{number}.png", "sha256": f"{number}{rows[row]['sha256']}"}
        for number, row in enumerate(copies)
    ]
    return pd.DataFrame(rows)


def split_of(table, folder, seed, folds=10):
    table.to_csv(folder / "manifest.csv", index=False)
    splits.split(folder / "manifest.csv", folder / "split.csv", seed=seed, folds=folds)
    return pd.read_csv(folder / "split.csv", dtype={"label": str}, keep_default_na=False)


@settings(max_examples=25)
@given(
    counts=st.dictionaries(st.sampled_from(["a", "NA", "3", "x y"]), st.integers(10, 40), min_size=2),
    copies=st.lists(st.integers(0, 19), max_size=8),
    seed=st.integers(0, 30),
)
def test_every_class_is_on_both_sides_and_no_image_is(tmp_path, counts, copies, seed):
    table = manifest_of(counts, copies)
    split = split_of(table, tmp_path, seed)
    assert split["image"].tolist() == table["image"].tolist()
    for _, group in split.groupby("label"):
        assert group["validation"].nunique() == 2
    sides = split.assign(group=table["group"]).groupby("group")["validation"].nunique()
    assert sides.max() == 1
    assert split_of(table, tmp_path, seed).equals(split)


def test_the_order_of_files_does_not_matter(tmp_path):
    table = manifest_of({"a": 20, "b": 30})
    shuffled = table.sample(frac=1, random_state=1)
    one, two = (split_of(rows, tmp_path, 3).set_index("image")["validation"] for rows in (table, shuffled))
    assert one.sort_index().equals(two.sort_index())


def test_ten_seeds_validate_each_image_once_and_the_next_ten_otherwise(tmp_path):
    table = manifest_of({"a": 20, "b": 30})
    sides = pd.DataFrame({seed: split_of(table, tmp_path, seed)["validation"] for seed in range(20)})
    assert (sides[range(10)].sum(axis=1) == 1).all()
    assert (sides[range(10, 20)].sum(axis=1) == 1).all()
    assert not sides[0].equals(sides[10])
    assert sides.sum().tolist() == [5] * 20


def test_a_class_with_too_few_images_is_named(tmp_path):
    with pytest.raises(EntrError, match=r"class 'b' .* has 9 different images; 10 folds \(split\.folds\)"):
        split_of(manifest_of({"a": 20, "b": 9}, copies=[20, 21]), tmp_path, 0)


@pytest.mark.parametrize("counts", [{}, {"a": 20}])
def test_fewer_than_two_classes_are_said(tmp_path, counts):
    table = manifest_of(counts).reindex(columns=["image", "label", "sha256", "group"])
    with pytest.raises(EntrError, match=f"has images of {len(counts)} classes; at least two"):
        split_of(table, tmp_path, 0)


def test_copies_that_fill_a_fold_are_said(tmp_path, caplog):
    sides = [
        split_of(manifest_of({"a": 20, "b": 20}, copies=[3] * 30), tmp_path, seed)["validation"].mean()
        for seed in range(10)
    ]
    assert max(sides) > 0.4
    assert "some are copies of so many others that they fill a fold" in caplog.text
