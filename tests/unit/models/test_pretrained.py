"""Pretrained weights: downloaded, local, damaged and malicious files."""

import hashlib
import io
import re
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from entr.jobs.errors import EntrError
from entr.models import architectures
from entr.models.pretrained import fetch_weights

LITE_SHA256 = "2d3c8842439142fd39d077f8ac8b5fe76fc6579afee06a208b3dc0c31a6ba90d"


def saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Payload:
    """Code that creates a file if it is unpickled."""

    def __reduce__(self):
        return exec, ("open('harm', 'w').close()",)


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    return torchvision.models.resnet18().state_dict()


@pytest.fixture
def publish(server, monkeypatch):
    """Serve a file in place of torchvision's, because tests run offline."""

    def serve(content, prefix=None):
        name = f"/resnet18-{prefix or sha256(content)[:8]}.pth"
        address = server.add(name, content) if content else server.address + name
        known = torchvision.models.get_model_weights("resnet18")["IMAGENET1K_V1"]
        monkeypatch.setattr(known, "_value_", known.value.__class__(address, known.transforms, {}))
        return address

    return serve


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """Fetch weights; check that a failure leaves no file and executes no code."""
    monkeypatch.chdir(tmp_path)
    destination = tmp_path / "weights" / "stored.safetensors"

    def run(model="resnet18", problem=None, **options):
        if problem is None:
            fetch_weights(model, destination, {"retries": 0}, tmp_path / "checksums.csv", **options)
            return load_file(destination)
        with pytest.raises(EntrError, match=problem) as error:
            fetch_weights(model, destination, {"retries": 0}, tmp_path / "checksums.csv", **options)
        assert "\n" not in str(error.value)
        assert not destination.exists()
        assert not Path("harm").exists()
        return str(error.value)

    return run


def test_imagenet_weights_are_fetched_verified_and_stored_with_their_origin(publish, fetch, original, tmp_path):
    content = saved(original)
    address = publish(content)
    stored = fetch()
    assert stored.keys() == original.keys()
    assert all(torch.equal(stored[name], original[name]) for name in original)
    with safe_open(tmp_path / "weights" / "stored.safetensors", "pt") as file:
        assert file.metadata() == {"source": address, "sha256": sha256(content)}


def test_checksum_in_the_file_name_is_verified(publish, fetch, original):
    publish(saved(original), "0badc0de")
    fetch(problem=r"^weights: checksum mismatch .*SHA-256 is \w{64}, but the file name says 0badc0de")


def test_interrupted_download_is_resumed_by_the_next_run(publish, fetch, original, server, tmp_path):
    content = saved(original)
    address = publish(content)
    server.files[address.removeprefix(server.address)].interruptions = 1
    fetch(problem="connection interrupted")
    assert fetch().keys() == original.keys()
    assert server.requests[1][1]["Range"] == f"bytes={len(content) // 2}-"
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["stored.safetensors"]


def test_date_in_a_file_name_is_mistaken_for_a_checksum_with_a_remedy(fetch, tmp_path, original):
    torch.save(original, tmp_path / "mine-20240131.pth")
    file = tmp_path / "mine-20240131.pth"
    fetch(problem="the file name says 20240131; rename a local file, set weights_sha256", file=file)
    assert fetch(file=file, sha256=sha256(file.read_bytes())).keys() == original.keys()


def test_configured_checksum_is_verified(publish, fetch, original):
    publish(saved(original))
    fetch(problem="but the key weights_sha256 says 0000", sha256="0" * 64)


def test_failed_download_is_an_error_with_a_remedy(publish, fetch):
    publish(b"", "00000000")
    fetch(problem=r"resnet18 could not be fetched from http.*404.* with internet access, .* or set weights: none")


def test_pickled_code_is_not_executed(publish, fetch, original):
    publish(saved({**original, "more": Payload()}))
    fetch(problem=r"resnet18-\w{8}\.pth does not contain the weights of resnet18, or more than weights")


def test_local_safetensors_and_pytorch_files(fetch, tmp_path, original, caplog):
    save_file(original, tmp_path / "mine.safetensors")
    torch.save({"state_dict": original, "epoch": 3}, tmp_path / "mine.pth")
    for name in ("mine.safetensors", "mine.pth"):
        caplog.clear()
        digest = sha256((tmp_path / name).read_bytes())
        assert fetch(file=tmp_path / name).keys() == original.keys()
        assert f"to pin this file, set weights_sha256: {{resnet18: {digest}}}" in caplog.text
        assert fetch(file=tmp_path / name, sha256=digest.upper()).keys() == original.keys()
    with safe_open(tmp_path / "weights" / "stored.safetensors", "pt") as file:
        assert file.metadata()["source"] == "mine.pth"


def test_classifier_may_have_other_classes_or_be_missing(fetch, tmp_path, original):
    torch.save(torchvision.models.resnet18(num_classes=3).state_dict(), tmp_path / "mine.pth")
    assert fetch(file=tmp_path / "mine.pth")["fc.weight"].shape == (3, 512)
    save_file({name: one for name, one in original.items() if not name.startswith("fc")}, tmp_path / "m.safetensors")
    assert "fc.weight" not in fetch(file=tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (
            "w.safetensors",
            lambda: save(torchvision.models.resnet34().state_dict()),
            r"w\.safetensors does not contain the weights of resnet18: tensors \d+ unknown \(such as layer1\.2\.",
        ),
        ("w.pth", lambda: saved(torchvision.models.resnet50().state_dict()), r"\d+ of another shape \(such as layer1"),
        (
            "w.pth",
            lambda: saved(timm.create_model("mobilenetv3_small_050").state_dict()),
            r"\d+ missing \(such as conv1",
        ),
        ("w.pth", lambda: saved({"weight": Payload()}), r"w\.pth does not contain the weights of resnet18, or more"),
        ("w.pth", lambda: saved({"epoch": 3}), r"it is not a state_dict"),
        ("w.pth", lambda: saved([1, 2]), r"w\.pth does not contain the weights of resnet18, or more"),
        ("w.pth", lambda: b"<html>", r"w\.pth does not contain the weights of resnet18, or more"),
        ("w.safetensors", lambda: saved({"weight": Payload()}), r"w\.safetensors does not contain the weights"),
        ("w.safetensors", lambda: b"", r"w\.safetensors does not contain the weights"),
    ],
    ids=["deeper", "wider", "other architecture", "code", "no tensors", "list", "web page", "misnamed code", "empty"],
)
def test_file_without_the_weights_of_the_model_is_an_error(fetch, tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content())
    fetch(problem=problem, file=tmp_path / name)


def test_legacy_tensor_names_of_densenet(fetch, tmp_path):
    """Its files have names of modules with a dot, and no number of batches."""
    state = torchvision.models.densenet121().state_dict()
    kept = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", name): one for name, one in kept.items()}
    assert not old.keys() & {"features.denseblock1.denselayer1.norm1.weight"}
    torch.save(old, tmp_path / "densenet.pth")
    stored = fetch("densenet121", file=tmp_path / "densenet.pth")
    assert stored.keys() == kept.keys()
    backbone = architectures.build_model("densenet121", 5, weights=tmp_path / "weights" / "stored.safetensors")[0]
    assert torch.equal(
        backbone[0].denseblock1.denselayer1.conv2.weight, kept["features.denseblock1.denselayer1.conv2.weight"]
    )


def test_model_whose_load_state_dict_requires_a_version(fetch, tmp_path):
    original = torchvision.models.mnasnet0_5()
    torch.save(original.state_dict(), tmp_path / "mnasnet.pth")
    fetch("mnasnet0_5", file=tmp_path / "mnasnet.pth")
    model = architectures.build_model("mnasnet0_5", 5, weights=tmp_path / "weights" / "stored.safetensors").eval()
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(model[0](images), original.eval().layers(images))


def test_layer_of_timm_s_head_that_stays_in_the_backbone_is_required(fetch, tmp_path):
    state = timm.create_model("convnext_atto").state_dict()
    save_file({name: one for name, one in state.items() if "head.norm" not in name}, tmp_path / "w.safetensors")
    fetch("convnext_atto", problem=r"tensors 2 missing \(such as head\.norm\.", file=tmp_path / "w.safetensors")


def test_name_of_a_tensor_is_shown_on_one_line(fetch, tmp_path, original):
    save_file({**original, "a\nb": torch.zeros(1)}, tmp_path / "w.safetensors")
    fetch(problem=r"tensors 1 unknown \(such as a b\); provide", file=tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [b"<html>", saved({"weight": Payload()})], ids=["web page", "code"])
def test_error_does_not_recommend_to_execute_code(fetch, tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    assert "weights_only" not in fetch(problem="contains code, which is not executed", file=tmp_path / "w.pth")


def test_missing_local_file_is_an_error(fetch):
    fetch(problem=r"weights: the file 'nowhere\.pth' with the weights of resnet18 does not exist", file="nowhere.pth")


def test_error_lists_the_available_weights_of_torchvision(fetch):
    fetch(
        "vit_h_14",
        problem=r"torchvision has no IMAGENET1K_V1 weights of vit_h_14 \(available: IMAGENET1K_SWAG_E2E_V1, ",
    )


@pytest.fixture
def hub(server, monkeypatch):
    """Serve a repository in place of the Hugging Face Hub, because tests run offline."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    def serve(model, content):
        repository = timm.get_pretrained_cfg(model).hf_hub_id
        server.add(f"/{repository}/resolve/main/model.safetensors", content, headers={"X-Repo-Commit": "0" * 40})

    return serve


def test_weights_of_timm_are_fetched_from_the_hub(hub, fetch):
    torch.manual_seed(0)
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    hub("mobilenetv3_small_050", save(state))
    stored = fetch("mobilenetv3_small_050")
    assert all(torch.equal(stored[name], state[name]) for name in state)


@pytest.mark.usefixtures("hub")
def test_unreachable_hub_is_an_error(fetch):
    fetch(
        "mobilenetv3_small_050",
        problem=r"could not be fetched from timm/mobilenetv3.*/model\.safetensors: .* with internet access",
    )


def test_real_weights_of_timm_give_the_features_of_timm(fetch, shared_data, tmp_path):
    file = shared_data / "weights" / "tf_efficientnet_lite0.safetensors"
    fetch("tf_efficientnet_lite0", file=file, sha256=LITE_SHA256)
    model = architectures.build_model(
        "tf_efficientnet_lite0", 5, weights=tmp_path / "weights" / "stored.safetensors"
    ).eval()
    reference = timm.create_model("tf_efficientnet_lite0", checkpoint_path=str(file)).eval()
    images = torch.rand(2, 3, 96, 96)
    assert torch.equal(model[0](images), reference.forward_features(images))
    assert architectures.normalization("tf_efficientnet_lite0") == ((0.5,) * 3, (0.5,) * 3)


def test_weights_that_differ_from_the_recorded_download_are_refused(hub, fetch, tmp_path):
    torch.manual_seed(0)
    first, other = (save(timm.create_model("mobilenetv3_small_050").state_dict()) for _ in range(2))
    hub("mobilenetv3_small_050", first)
    fetch("mobilenetv3_small_050")
    (tmp_path / "weights" / "stored.safetensors").unlink()
    hub("mobilenetv3_small_050", other)
    message = fetch("mobilenetv3_small_050", problem="^weights: checksum mismatch of the weights of mobilenetv3_small")
    assert f"model.safetensors: the SHA-256 is {sha256(other)}, expected {sha256(first)}" in message
    assert f"recorded in {tmp_path / 'checksums.csv'}; to accept the new file, set weights_sha256, or delete" in message
    # the configured checksum is the only one that counts
    fetch("mobilenetv3_small_050", sha256=sha256(other))
    (tmp_path / "weights" / "stored.safetensors").unlink()
    (tmp_path / "checksums.csv").unlink()
    fetch("mobilenetv3_small_050")


def test_local_weights_are_not_recorded(fetch, tmp_path, original):
    torch.save(original, tmp_path / "mine.pth")
    fetch(file=tmp_path / "mine.pth")
    assert not (tmp_path / "checksums.csv").exists()
