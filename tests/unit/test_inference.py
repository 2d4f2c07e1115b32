import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from entr import inference, networks
from entr.guards import EntrError

TIMING = {"min_seconds": 0.1, "device": "cpu", "precision": "auto", "tf32": True}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("inference") / "224px.csv"
    inference.benchmark("resnet18", 224, path, batch_sizes=[1, 2], **TIMING)
    return pd.read_csv(path)


def finished(folder, seed, classes=("a", "b", "c")):
    torch.manual_seed(seed)
    network = networks.build("resnet18", len(classes))
    path = folder / f"{seed}.safetensors"
    save_file(network.state_dict(), path, {"model": "resnet18", "classes": "\n".join(classes)})
    return path, network


def test_multiply_adds_are_those_that_torchvision_publishes(table):
    """1.814 GMAC for the whole network; the head is another one, of half a million."""
    assert table["multiply_adds"].unique() == pytest.approx([1.814e9], rel=0.002)
    assert table["parameters"].unique() == [sum(one.numel() for one in networks.build("resnet18", 10).parameters())]


def test_every_batch_size_is_timed_by_single_calls_and_by_calls_back_to_back(table):
    assert table[["size", "batch_size"]].to_numpy().tolist() == [[224, 1], [224, 2]]
    assert (table["p50_seconds"] > 0).all()
    assert (table["p50_seconds"] <= table["p95_seconds"]).all()
    assert (table["p95_seconds"] <= table["p99_seconds"]).all()
    assert (table["calls"] >= inference.ROUNDS * inference.FEWEST_CALLS).all()
    assert table["images_per_second"].tolist() == pytest.approx((1 / table["seconds_an_image"]).tolist())
    assert (table["spread_of_rounds"] >= 0).all()
    assert set(table["precision"]) == {"float32"}
    assert set(table["threads"]) == {torch.get_num_threads()}


def test_the_finished_networks_are_timed_at_the_size_that_their_regime_ends_with(tmp_path):
    trained = {regime: finished(tmp_path, seed)[0] for seed, regime in enumerate(("no-increase", "small"))}
    inference.benchmark_finished(
        "ucm", "resnet18", trained, {"no-increase": 64, "small": 32}, tmp_path / "finished.csv", **TIMING
    )
    found = pd.read_csv(tmp_path / "finished.csv")
    assert found[["dataset", "model", "regime", "size", "batch_size"]].to_numpy().tolist() == [
        ["ucm", "resnet18", "no-increase", 64, 1],
        ["ucm", "resnet18", "small", 32, 1],
    ]


def test_a_finished_network_predicts_as_it_did_and_knows_its_classes(tmp_path):
    path, network = finished(tmp_path, 3)
    loaded, classes = networks.finished(path)
    assert classes == ("a", "b", "c")
    images = torch.rand(2, 3, 40, 40)
    with torch.inference_mode():
        assert torch.equal(loaded.eval()(images), network.eval()(images))


@pytest.mark.parametrize("content", [b"", b"no network", None])
def test_what_is_no_finished_network_is_one_clear_error(tmp_path, content):
    path = tmp_path / "model.safetensors"
    if content is None:
        save_file({"a": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(EntrError, match=r"model\.safetensors holds no network .*train it again$"):
        networks.finished(path)
