"""Models of torchvision and timm: backbone, head, layer groups and stored weights."""

import pytest
import torch
import torchvision
from fastai.callback.training import set_bn_eval
from safetensors.torch import save, save_file

from entr.jobs.errors import EntrError
from entr.models import architectures


def test_backbone_is_loaded_from_weights_and_head_is_not(tmp_path):
    torch.manual_seed(0)
    original = torchvision.models.resnet18()
    save_file(original.state_dict(), tmp_path / "w.safetensors")
    torch.manual_seed(1)
    model = architectures.build_model("resnet18", 5, 0.5, tmp_path / "w.safetensors").eval()
    images = torch.rand(2, 3, 64, 64)
    backbone = torch.nn.Sequential(*list(original.eval().children())[:-2])
    assert torch.equal(model[0](images), backbone(images))
    assert model(images).shape == (2, 5)
    assert [layer.p for layer in model[1] if isinstance(layer, torch.nn.Dropout)] == [0.5, 0.5]


def test_names_of_parameters_do_not_depend_on_dropout():
    without, with_dropout = (architectures.build_model("resnet18", 5, dropout) for dropout in (0, 0.5))
    assert without.state_dict().keys() == with_dropout.state_dict().keys()


def test_stored_weights_of_another_model_are_an_error(tmp_path):
    save_file(torchvision.models.resnet34().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(EntrError, match=r"w\.safetensors does not contain the weights of resnet18"):
        architectures.build_model("resnet18", 5, weights=tmp_path / "w.safetensors")


def test_stored_file_that_is_not_safetensors_is_an_error(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(
        EntrError,
        match=r"weights: .*w\.safetensors does not contain the weights of resnet18 .* delete it and run again",
    ):
        architectures.build_model("resnet18", 5, weights=tmp_path / "w.safetensors")


def test_trained_model_is_loaded_with_its_classes(tmp_path):
    torch.manual_seed(0)
    model = architectures.build_model("resnet18", 2).eval()
    metadata = architectures.trained_metadata("resnet18", ["b", "a"])
    save_file(model.state_dict(), tmp_path / "model.safetensors", metadata)
    loaded, classes = architectures.load_trained(tmp_path / "model.safetensors")
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(loaded.eval()(images), model(images))
    assert classes == ("b", "a")


@pytest.mark.parametrize(
    "metadata",
    [None, {"trained_model": "resnet18"}, architectures.trained_metadata("resnet18", ["a", "b", "c"])],
    ids=["none", "not JSON", "more classes"],
)
def test_file_without_a_trained_model_is_an_error(tmp_path, metadata):
    model = architectures.build_model("resnet18", 2)
    save_file(model.state_dict(), tmp_path / "model.safetensors", metadata)
    with pytest.raises(EntrError, match=r"does not contain the trained model of a cell .*delete its directory"):
        architectures.load_trained(tmp_path / "model.safetensors")


KNOWN_TO_FASTAI = ["resnet18", "densenet121", "squeezenet1_0"]
OTHERS_OF_TORCHVISION = [
    "vgg11",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "efficientnet_b0",
    "mnasnet0_5",
    "swin_t",
    "googlenet",
]
OF_TIMM = ["tf_efficientnet_lite0", "mobilenetv3_small_050", "resnet18.a1_in1k", "convnext_atto"]


@pytest.mark.parametrize("name", KNOWN_TO_FASTAI + OTHERS_OF_TORCHVISION + OF_TIMM)
def test_model_accepts_images_of_any_size_and_has_three_layer_groups(name):
    model = architectures.build_model(name, 5).eval()
    with torch.inference_mode():
        for side in (100, 132):
            images = torch.rand(1, 3, side, side)
            assert model[0](images).ndim == 4
            assert model(images).shape == (1, 5)
    groups = architectures.layer_group_splitter(name)(model)
    found = [id(parameter) for group in groups for parameter in group]
    assert len(groups) == 3
    assert all(map(len, groups))
    assert sorted(found) == sorted(map(id, model.parameters()))
    assert {id(parameter) for parameter in groups[2]} == {id(parameter) for parameter in model[1].parameters()}
    stored = save(model.state_dict())
    assert len(stored) > 0


@pytest.mark.parametrize("name", ["vit_b_16", "maxvit_t", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_model_without_feature_maps_or_for_a_single_size_is_a_one_line_error(name, capfd):
    with pytest.raises(EntrError, match=f"grid.models: {name} cannot be used: .*choose a convolutional model") as error:
        architectures.build_model(name, 5)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_unknown_model_is_an_error_with_a_suggestion():
    message = r"'mobilenet_v3_smal' is a model of neither .*; did you mean 'mobilenet_v3_small'"
    with pytest.raises(EntrError, match=message):
        architectures.build_model("mobilenet_v3_smal", 5)


def test_unknown_tag_of_timm_is_an_error_with_a_suggestion():
    with pytest.raises(EntrError, match=r"did you mean 'mobilenetv3_small_050\.lamb_in1k'"):
        architectures.normalization("mobilenetv3_small_050.lam_in1k")


def test_frozen_backbone_keeps_its_batch_statistics():
    """Frozen as by fastai: without gradients, and batch normalisation in evaluation mode."""
    model = architectures.build_model("mobilenet_v3_small", 5).train()
    model[0].requires_grad_(False)
    set_bn_eval(model)
    before = {name: value.clone() for name, value in model[0].state_dict().items()}
    model(torch.rand(4, 3, 64, 64))
    assert all(torch.equal(before[name], value) for name, value in model[0].state_dict().items())


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_imagenet_weights_are_of_one_recipe(name):
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    prefixes = {"resnet18": "f37072fd", "resnet34": "b627a593", "resnet50": "0676ba61"}
    assert weights.url.endswith(f"{name}-{prefixes[name]}.pth")


def test_layer_groups_are_early_late_and_head():
    model = architectures.build_model("resnet18", 5)
    early, late, head = architectures.layer_group_splitter("resnet18")(model)
    counts = [sum(parameter.numel() for parameter in group) for group in (early, late, head)]
    assert counts[2] == sum(parameter.numel() for parameter in model[1].parameters())
    assert counts[0] < counts[1]
    assert sum(counts) == sum(parameter.numel() for parameter in model.parameters())
