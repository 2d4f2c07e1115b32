import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from entr.benchmark import inference
from entr.models import architectures

TIMING = {"min_seconds": 0.1, "device": "cpu", "precision": "auto", "tf32": True}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("inference") / "resnet18.csv"
    inference.benchmark_model("resnet18", [224, 64], path, batch_sizes=[1, 2], **TIMING)
    return pd.read_csv(path)


def save_trained(folder, seed, classes=("a", "b", "c")):
    torch.manual_seed(seed)
    model = architectures.build_model("resnet18", len(classes))
    path = folder / f"{seed}.safetensors"
    save_file(model.state_dict(), path, architectures.trained_metadata("resnet18", classes))
    return path, model


def test_multiply_adds_agree_with_torchvision(table):
    """torchvision states 1.814 GMAC for the whole model; this head differs by half a million."""
    at_224 = table[table["size"] == 224]
    assert at_224["multiply_adds"].unique() == pytest.approx([1.814e9], rel=0.002)
    assert table["parameters"].unique() == [
        sum(one.numel() for one in architectures.build_model("resnet18", 10).parameters())
    ]


def test_each_image_size_and_batch_size_has_latency_and_throughput(table):
    assert table[["size", "batch_size"]].to_numpy().tolist() == [[224, 1], [224, 2], [64, 1], [64, 2]]
    assert (table["p50_seconds"] > 0).all()
    assert (table["p50_seconds"] <= table["p95_seconds"]).all()
    assert (table["p95_seconds"] <= table["p99_seconds"]).all()
    assert (table["calls"] >= inference.ROUNDS * inference.MIN_CALLS).all()
    assert table["images_per_second"].tolist() == pytest.approx((1 / table["seconds_per_image"]).tolist())
    assert (table["spread_of_rounds"] >= 0).all()
    assert set(table["precision"]) == {"float32"}
    assert set(table["threads"]) == {torch.get_num_threads()}


def test_trained_models_are_timed_at_the_final_size_of_their_regime(tmp_path):
    trained = {regime: save_trained(tmp_path, seed)[0] for seed, regime in enumerate(("no-increase", "small"))}
    inference.benchmark_trained(
        "ucm", "resnet18", trained, {"no-increase": 64, "small": 32}, tmp_path / "trained.csv", **TIMING
    )
    found = pd.read_csv(tmp_path / "trained.csv")
    assert found[["dataset", "model", "regime", "size", "batch_size"]].to_numpy().tolist() == [
        ["ucm", "resnet18", "no-increase", 64, 1],
        ["ucm", "resnet18", "small", 32, 1],
    ]


def test_trained_model_round_trip(tmp_path):
    path, model = save_trained(tmp_path, 3)
    loaded, classes = architectures.load_trained(path)
    assert classes == ("a", "b", "c")
    images = torch.rand(2, 3, 40, 40)
    with torch.inference_mode():
        assert torch.equal(loaded.eval()(images), model.eval()(images))
