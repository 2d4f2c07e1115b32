"""Networks of torchvision and timm, and weights that may be anything."""

import hashlib
import io
import re
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
import torchvision
from fastai.callback.training import set_bn_eval
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from entr import networks, weights
from entr.guards import EntrError

LITE_SHA256 = "2d3c8842439142fd39d077f8ac8b5fe76fc6579afee06a208b3dc0c31a6ba90d"


def saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Payload:
    def __reduce__(self):
        return exec, ("open('harm', 'w').close()",)


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    return torchvision.models.resnet18().state_dict()


@pytest.fixture
def publish(server, monkeypatch):
    """Serve a file in place of torchvision's, whose address is out of reach here."""

    def serve(content, digits=None):
        name = f"/resnet18-{digits or sha256(content)[:8]}.pth"
        address = server.add(name, content) if content else server.address + name
        known = torchvision.models.get_model_weights("resnet18")["IMAGENET1K_V1"]
        monkeypatch.setattr(known, "_value_", known.value.__class__(address, known.transforms, {}))
        return address

    return serve


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """Fetch weights, and see that a failure leaves nothing and runs nothing."""
    monkeypatch.chdir(tmp_path)
    destination = tmp_path / "weights" / "stored.safetensors"

    def run(model="resnet18", problem=None, **options):
        if problem is None:
            weights.fetch(model, destination, {"retries": 0}, **options)
            return load_file(destination)
        with pytest.raises(EntrError, match=problem) as error:
            weights.fetch(model, destination, {"retries": 0}, **options)
        assert "\n" not in str(error.value)
        assert not destination.exists()
        assert not Path("harm").exists()
        return str(error.value)

    return run


def test_imagenet_weights_are_fetched_checked_and_stored_as_tensors(publish, fetch, original, tmp_path):
    content = saved(original)
    address = publish(content)
    stored = fetch()
    assert stored.keys() == original.keys()
    assert all(torch.equal(stored[name], original[name]) for name in original)
    with safe_open(tmp_path / "weights" / "stored.safetensors", "pt") as file:
        assert file.metadata() == {"source": address, "sha256": sha256(content)}


def test_weights_whose_name_has_other_digits_are_refused(publish, fetch, original):
    publish(saved(original), "0badc0de")
    fetch(problem=r"have the SHA-256 \w{64}, but its name says 0badc0de")


def test_a_broken_download_of_weights_goes_on_in_the_next_run(publish, fetch, original, server, tmp_path):
    content = saved(original)
    address = publish(content)
    server.files[address.removeprefix(server.address)].breaks = 1
    fetch(problem="the connection broke before the end")
    assert fetch().keys() == original.keys()
    assert server.requests[1][1]["Range"] == f"bytes={len(content) // 2}-"
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["stored.safetensors"]


def test_a_date_in_the_name_of_a_file_of_yours_is_said_with_what_to_do(fetch, tmp_path, original):
    torch.save(original, tmp_path / "mine-20240131.pth")
    file = tmp_path / "mine-20240131.pth"
    fetch(problem="its name says 20240131; rename a file of yours, or set weights_sha256", file=file)
    assert fetch(file=file, sha256=sha256(file.read_bytes())).keys() == original.keys()


def test_weights_that_are_not_the_configured_ones_are_refused(publish, fetch, original):
    publish(saved(original))
    fetch(problem="but the key weights_sha256 says 0000", sha256="0" * 64)


def test_missing_weights_are_said_with_what_to_do(publish, fetch):
    publish(b"", "00000000")
    fetch(problem=r"resnet18 could not be fetched from http.*404.* machine with internet, .* or set weights: none")


def test_pickled_code_in_weights_is_not_run(publish, fetch, original):
    publish(saved({**original, "more": Payload()}))
    fetch(problem=r"resnet18-\w{8}\.pth does not hold the weights of resnet18, or more than weights")


def test_a_file_of_yours_is_used_whatever_its_kind(fetch, tmp_path, original, caplog):
    save_file(original, tmp_path / "mine.safetensors")
    torch.save({"state_dict": original, "epoch": 3}, tmp_path / "mine.pth")
    for name in ("mine.safetensors", "mine.pth"):
        caplog.clear()
        digits = sha256((tmp_path / name).read_bytes())
        assert fetch(file=tmp_path / name).keys() == original.keys()
        assert f"set weights_sha256: {{resnet18: {digits}}}" in caplog.text
        assert fetch(file=tmp_path / name, sha256=digits.upper()).keys() == original.keys()
    with safe_open(tmp_path / "weights" / "stored.safetensors", "pt") as file:
        assert file.metadata()["source"] == "mine.pth"


def test_a_classifier_of_other_classes_does_not_matter(fetch, tmp_path, original):
    torch.save(torchvision.models.resnet18(num_classes=3).state_dict(), tmp_path / "mine.pth")
    assert fetch(file=tmp_path / "mine.pth")["fc.weight"].shape == (3, 512)
    save_file({name: one for name, one in original.items() if not name.startswith("fc")}, tmp_path / "m.safetensors")
    assert "fc.weight" not in fetch(file=tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("w.safetensors", lambda: save(torchvision.models.resnet34().state_dict()),
         r"w\.safetensors does not hold the weights of resnet18: tensors \d+ unknown \(as layer1\.2\."),
        ("w.pth", lambda: saved(torchvision.models.resnet50().state_dict()), r"\d+ of another shape \(as layer1"),
        ("w.pth", lambda: saved(timm.create_model("mobilenetv3_small_050").state_dict()), r"\d+ missing \(as conv1"),
        ("w.pth", lambda: saved({"weight": Payload()}), r"w\.pth does not hold the weights of resnet18, or more"),
        ("w.pth", lambda: saved({"epoch": 3}), r"it does not hold tensors by name"),
        ("w.pth", lambda: saved([1, 2]), r"w\.pth does not hold the weights of resnet18, or more"),
        ("w.pth", lambda: b"<html>", r"w\.pth does not hold the weights of resnet18, or more"),
        ("w.safetensors", lambda: saved({"weight": Payload()}), r"w\.safetensors does not hold the weights"),
        ("w.safetensors", lambda: b"", r"w\.safetensors does not hold the weights"),
    ],
    ids=["deeper", "wider", "another family", "code", "no tensors", "a list", "web page", "misnamed code", "empty"],
)  # fmt: skip
def test_a_file_that_is_not_the_network_s_is_refused(fetch, tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content())
    fetch(problem=problem, file=tmp_path / name)


def test_torchvision_s_own_file_of_densenet_is_read_by_its_old_names(fetch, tmp_path):
    """As in its files, whose modules' names hold a dot, and which do not count batches."""
    state = torchvision.models.densenet121().state_dict()
    kept = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", name): one for name, one in kept.items()}
    assert not old.keys() & {"features.denseblock1.denselayer1.norm1.weight"}
    torch.save(old, tmp_path / "densenet.pth")
    stored = fetch("densenet121", file=tmp_path / "densenet.pth")
    assert stored.keys() == kept.keys()
    body = networks.build("densenet121", 5, weights=tmp_path / "weights" / "stored.safetensors")[0]
    assert torch.equal(
        body[0].denseblock1.denselayer1.conv2.weight, kept["features.denseblock1.denselayer1.conv2.weight"]
    )


def test_a_network_that_asks_for_a_version_of_its_file_gets_its_weights_without(fetch, tmp_path):
    original = torchvision.models.mnasnet0_5()
    torch.save(original.state_dict(), tmp_path / "mnasnet.pth")
    fetch("mnasnet0_5", file=tmp_path / "mnasnet.pth")
    network = networks.build("mnasnet0_5", 5, weights=tmp_path / "weights" / "stored.safetensors").eval()
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(network[0](images), original.eval().layers(images))


def test_a_layer_that_timm_counts_to_the_head_but_keeps_in_the_body_must_be_there(fetch, tmp_path):
    state = timm.create_model("convnext_atto").state_dict()
    save_file({name: one for name, one in state.items() if "head.norm" not in name}, tmp_path / "w.safetensors")
    fetch("convnext_atto", problem=r"tensors 2 missing \(as head\.norm\.", file=tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [b"<html>", saved({"weight": Payload()})], ids=["web page", "code"])
def test_nobody_is_told_to_run_what_a_file_holds(fetch, tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    assert "weights_only" not in fetch(problem="holds code, which is not run", file=tmp_path / "w.pth")


def test_a_file_that_is_not_there_is_named(fetch):
    fetch(problem=r"weights: there is no file 'nowhere\.pth' with the weights of resnet18", file="nowhere.pth")


def test_a_network_without_weights_of_our_recipe_names_those_there_are(fetch):
    fetch("vit_h_14", problem="torchvision has no IMAGENET1K_V1 of vit_h_14, but IMAGENET1K_SWAG_E2E_V1, ")


@pytest.fixture
def hub(server, monkeypatch):
    """Serve a repository in place of the Hugging Face hub, which is out of reach here."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    def serve(model, content):
        repository = timm.get_pretrained_cfg(model).hf_hub_id
        server.add(f"/{repository}/resolve/main/model.safetensors", content, headers={"X-Repo-Commit": "0" * 40})

    return serve


def test_weights_of_timm_come_from_the_hub(hub, fetch):
    torch.manual_seed(0)
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    hub("mobilenetv3_small_050", save(state))
    stored = fetch("mobilenetv3_small_050")
    assert all(torch.equal(stored[name], state[name]) for name in state)


@pytest.mark.usefixtures("hub")
def test_a_hub_out_of_reach_is_said(fetch):
    fetch(
        "mobilenetv3_small_050",
        problem=r"could not be fetched from timm/mobilenetv3.*/model\.safetensors: .* machine with internet",
    )


def test_real_weights_of_timm_give_the_features_that_timm_s_own_network_gives(fetch, shared_data, tmp_path):
    file = shared_data / "weights" / "tf_efficientnet_lite0.safetensors"
    fetch("tf_efficientnet_lite0", file=file, sha256=LITE_SHA256)
    network = networks.build("tf_efficientnet_lite0", 5, weights=tmp_path / "weights" / "stored.safetensors").eval()
    theirs = timm.create_model("tf_efficientnet_lite0", checkpoint_path=str(file)).eval()
    images = torch.rand(2, 3, 96, 96)
    assert torch.equal(network[0](images), theirs.forward_features(images))
    assert networks.normalization("tf_efficientnet_lite0") == ((0.5,) * 3, (0.5,) * 3)


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


def test_stored_weights_of_another_network_are_refused(tmp_path):
    save_file(torchvision.models.resnet34().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(EntrError, match=r"w\.safetensors does not hold the weights of resnet18"):
        networks.build("resnet18", 5, weights=tmp_path / "w.safetensors")


def test_a_stored_file_that_is_not_safetensors_is_refused(tmp_path):
    torch.save({"weight": Payload()}, tmp_path / "w.safetensors")
    with pytest.raises(EntrError, match="does not hold the weights"):
        networks.build("resnet18", 5, weights=tmp_path / "w.safetensors")


EVERY_KIND = [
    "resnet18", "densenet121", "squeezenet1_0",  # as fastai cuts them
    "vgg11", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0", "mnasnet0_5", "swin_t", "googlenet",
    "tf_efficientnet_lite0", "mobilenetv3_small_050", "resnet18.a1_in1k", "convnext_atto",  # timm's
]  # fmt: skip


@pytest.mark.parametrize("model", EVERY_KIND)
def test_a_network_of_any_kind_takes_images_of_any_size_and_has_three_groups_of_layers(model):
    network = networks.build(model, 5).eval()
    with torch.inference_mode():
        for side in (100, 132):
            images = torch.rand(1, 3, side, side)
            assert network[0](images).ndim == 4
            assert network(images).shape == (1, 5)
    groups = networks.layer_groups(model)(network)
    found = [id(parameter) for group in groups for parameter in group]
    assert len(groups) == 3
    assert all(map(len, groups))
    assert sorted(found) == sorted(map(id, network.parameters()))
    assert {id(parameter) for parameter in groups[2]} == {id(parameter) for parameter in network[1].parameters()}
    stored = save(network.state_dict())
    assert len(stored) > 0


@pytest.mark.parametrize("model", ["vit_b_16", "maxvit_t", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_network_without_maps_or_for_one_size_is_refused_in_one_line(model, capfd):
    with pytest.raises(
        EntrError, match=f"grid.models: {model} cannot be used: .*choose a convolutional network"
    ) as error:
        networks.build(model, 5)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_an_unknown_network_is_named_with_what_was_meant():
    with pytest.raises(
        EntrError, match=r"'mobilenet_v3_smal' is a network neither of .*; did you mean 'mobilenet_v3_small'"
    ):
        networks.build("mobilenet_v3_smal", 5)


def test_an_unknown_tag_of_timm_is_named_with_what_was_meant():
    with pytest.raises(EntrError, match=r"did you mean 'mobilenetv3_small_050\.lamb_in1k'"):
        networks.normalization("mobilenetv3_small_050.lam_in1k")


def test_a_frozen_body_that_was_cut_anew_keeps_its_statistics():
    """As fastai freezes it: without gradients, and BatchNorm in evaluation mode."""
    network = networks.build("mobilenet_v3_small", 5).train()
    network[0].requires_grad_(False)
    set_bn_eval(network)
    before = {name: value.clone() for name, value in network[0].state_dict().items()}
    network(torch.rand(4, 3, 64, 64))
    assert all(torch.equal(before[name], value) for name, value in network[0].state_dict().items())


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
