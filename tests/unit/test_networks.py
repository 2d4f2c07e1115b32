import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from entr import networks
from entr.guards import EntrError


@pytest.fixture
def server(tmp_path):
    """A real HTTP server on this machine; stands for torchvision's, which is out of reach here."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def publish(folder, state, digits=None):
    torch.save(state, folder / "raw.pth")
    digits = digits or hashlib.sha256((folder / "raw.pth").read_bytes()).hexdigest()[:8]
    return (folder / "raw.pth").rename(folder / f"resnet18-{digits}.pth").name


def test_weights_are_fetched_checked_and_stored_as_tensors(server, tmp_path):
    folder, address = server
    torch.manual_seed(0)
    original = torchvision.models.resnet18().state_dict()
    name = publish(folder, original)
    networks.fetch_weights("resnet18", tmp_path / "weights.safetensors", f"{address}/{name}")
    stored = load_file(tmp_path / "weights.safetensors")
    assert set(stored) == set(original)
    assert all(torch.equal(stored[key], original[key]) for key in original)
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        assert file.metadata()["source"].endswith(name)


class Payload:
    def __reduce__(self):
        return exec, ("open('harm', 'w').close()",)


@pytest.mark.parametrize("fault", ["checksum", "missing", "code"])
def test_weights_that_cannot_be_trusted_are_refused_and_leave_nothing(server, tmp_path, fault, monkeypatch):
    folder, address = server
    monkeypatch.chdir(tmp_path)
    name = publish(
        folder, {"weight": Payload()} if fault == "code" else {}, "0badc0de" if fault == "checksum" else None
    )
    if fault == "missing":
        name = "resnet18-00000000.pth"
    with pytest.raises(EntrError, match="weights of resnet18 could not be fetched from http"):
        networks.fetch_weights("resnet18", tmp_path / "weights.safetensors", f"{address}/{name}")
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_the_body_gets_the_weights_and_the_head_does_not(tmp_path):
    torch.manual_seed(0)
    original = torchvision.models.resnet18()
    save_file(original.state_dict(), tmp_path / "w.safetensors")
    torch.manual_seed(1)
    network = networks.build("resnet18", 5, 0.5, tmp_path / "w.safetensors").eval()
    images = torch.rand(2, 3, 64, 64)
    body = torch.nn.Sequential(*list(original.eval().children())[:-2])
    assert torch.equal(network[0](images), body(images))
    assert network(images).shape == (2, 5)
    assert [layer.p for layer in network[1] if isinstance(layer, torch.nn.Dropout)] == [0.5, 0.5]


def test_a_network_has_the_same_parameters_whatever_its_dropout():
    without, with_dropout = (networks.build("resnet18", 5, dropout) for dropout in (0, 0.5))
    assert without.state_dict().keys() == with_dropout.state_dict().keys()


def test_the_weights_of_another_network_are_refused(tmp_path):
    save_file(torchvision.models.resnet34().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(EntrError, match=r"w\.safetensors does not hold the weights of resnet18"):
        networks.build("resnet18", 5, weights=tmp_path / "w.safetensors")


def test_a_file_that_is_not_safetensors_is_refused(tmp_path):
    torch.save({"weight": Payload()}, tmp_path / "w.safetensors")
    with pytest.raises(EntrError, match="does not hold the weights"):
        networks.build("resnet18", 5, weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize("model", ["resnet18", "resnet34", "resnet50"])
def test_all_models_share_one_recipe_of_weights(model):
    weights = torchvision.models.get_model_weights(model)["IMAGENET1K_V1"]
    prefixes = {"resnet18": "f37072fd", "resnet34": "b627a593", "resnet50": "0676ba61"}
    assert weights.url.endswith(f"{model}-{prefixes[model]}.pth")


def test_layer_groups_are_early_late_and_head():
    network = networks.build("resnet18", 5)
    early, late, head = networks.layer_groups("resnet18")(network)
    counts = [sum(parameter.numel() for parameter in group) for group in (early, late, head)]
    assert counts[2] == sum(parameter.numel() for parameter in network[1].parameters())
    assert counts[0] < counts[1]
    assert sum(counts) == sum(parameter.numel() for parameter in network.parameters())
