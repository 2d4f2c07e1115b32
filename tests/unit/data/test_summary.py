"""Table 1: datasets as found and as published."""

import pandas as pd
import pytest

from entr.config.schema import Dataset
from entr.data.summary import summarise_datasets


@pytest.fixture
def tables(tmp_path):
    """Manifests, rejected files and near-duplicates of two datasets, in a different order each."""

    def write(dataset, name, rows, columns):
        path = tmp_path / dataset / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
        return path

    manifest, rejected, pairs = (
        ["label", "source_width", "source_height", "group"],
        ["source", "label", "kind", "reason"],
        ["first_label", "second_label"],
    )
    return {
        "manifests": [
            write("ours", "manifest", [("nan", 300, 200, 0), ("nan", 100, 200, 0), ("b", 200, 200, 1)], manifest),
            write("ucm", "manifest", [("a", 256, 256, 0)] * 4, manifest),
        ],
        "rejected": [
            write("ucm", "rejected", [], rejected),
            write(
                "ours",
                "rejected",
                [("x", "b", "not an image", ""), ("y", "b", "contradiction", ""), ("z", "nan", "contradiction", "")],
                rejected,
            ),
        ],
        "duplicates": [
            write("ours", "duplicates", [("nan", "nan"), ("b", "nan")], pairs),
            write("ucm", "duplicates", [], pairs),
        ],
    }


def test_files_are_matched_with_datasets_by_the_name_of_their_directory(tables, tmp_path):
    entries = {
        "ucm": Dataset(source="archive", urls=["https://host/a"], images=4, classes=1, traits={"domain": "aerial"}),
        "ours": Dataset(source="folder", path="images", title="Ours"),
    }
    plain = {name: entry.model_dump(mode="json") for name, entry in entries.items()}
    summarise_datasets(plain, **tables, destination=tmp_path / "datasets.csv")
    summary = pd.read_csv(tmp_path / "datasets.csv", index_col="dataset")
    assert summary.index.tolist() == ["ucm", "ours"]
    assert summary["title"].tolist() == ["ucm", "Ours"]
    assert summary["images_found"].tolist() == [4, 3]
    assert summary["classes_found"].tolist() == [1, 2]
    assert summary[["smallest_class", "largest_class"]].to_numpy().tolist() == [[4, 4], [1, 2]]
    assert summary[["median_width_px", "median_height_px"]].to_numpy().tolist() == [[256, 256], [200, 200]]
    counts = ["unreadable_files", "contradicting_labels", "near_duplicates", "near_duplicate_pairs"]
    assert summary[counts].to_numpy().tolist() == [[0, 0, 3, 0], [1, 2, 1, 1]]
    assert summary.loc["ucm", ["images_published", "classes_published", "domain"]].tolist() == [4, 1, "aerial"]
