import pandas as pd
import pytest

from entr import inference


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("inference") / "resnet18.csv"
    inference.benchmark("resnet18", [112, 224], path, batch_sizes=[1, 2], min_seconds=0.1, device="cpu")
    return pd.read_csv(path)


def test_multiply_adds_are_those_that_torchvision_publishes(table):
    """1.814 GMAC for the whole network; the head is another one, of half a million."""
    assert table[table["size"] == 224]["multiply_adds"].unique() == pytest.approx([1.814e9], rel=0.002)


def test_every_size_is_timed_in_every_batch_size(table):
    assert table[["size", "batch_size"]].to_numpy().tolist() == [[112, 1], [112, 2], [224, 1], [224, 2]]
    per_image = table["seconds_a_batch"] / table["batch_size"]
    assert table["seconds_an_image"].tolist() == pytest.approx(per_image.tolist())
    assert table["images_per_second"].tolist() == pytest.approx((1 / per_image).tolist())
    assert (table["seconds_a_batch"] > 0).all()
    assert (table["spread_of_rounds"] >= 0).all()
