"""Model architectures: backbones of torchvision and timm with the head of fastai."""

import difflib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
import torchvision
from fastai.callback.hook import num_features_model
from fastai.torch_core import params
from fastai.vision.core import imagenet_stats
from fastai.vision.learner import add_head, create_body, model_meta
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from entr.jobs.errors import EntrError, one_line, shown

WEIGHTS_RECIPE = "IMAGENET1K_V1"
"""ImageNet weights of torchvision. Its defaults mix two training recipes, which would be a confounder."""
WITH_INPUT_TRANSFORM = {"googlenet", "inception_v3"}
"""Models whose ImageNet weights expect a second normalisation of the input, which torchvision builds in."""
CLASSIFIERS = {"classifier", "fc", "head", "aux1", "aux2", "AuxLogits"}
"""Names of the classifiers of torchvision's models, which the head of fastai replaces."""
TRAINED = "trained_model"
"""Key of the metadata of a trained model."""
PROBE_SIDES = (128, 160)
"""Sides in px of two test images, to check that a model accepts images of any size."""

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation by channel."""
Splitter = Callable[[nn.Module], list[list[nn.Parameter]]]
"""Function that divides the parameters of a model into layer groups."""
State = dict[str, Tensor]
"""Tensors by name, as in a ``state_dict``."""


def build_model(name: str, n_classes: int, dropout: float = 0.0, weights: str | Path | None = None) -> nn.Sequential:
    """Build a model: a backbone and a head.

    Parameters
    ----------
    name : str
        A model of torchvision or timm whose backbone returns feature maps for images of any size.
    n_classes : int
        Number of classes.
    dropout : float
        Dropout probability before each of the two linear layers of the head.
    weights : path, optional
        A safetensors file with the weights of the whole model. By default the backbone is randomly
        initialised, as the head always is.

    Returns
    -------
    Sequential
        Backbone and head. It maps float images of shape (b, 3, size, size) to logits of shape (b, n_classes).

    Raises
    ------
    EntrError
        If the model is unknown, its backbone returns no feature maps, it accepts a single image size
        only, or the file does not contain its weights.
    """
    model = create_model(name)
    if weights is not None:
        try:
            state = load_file(weights)
        except (SafetensorError, OSError) as error:
            raise EntrError(
                f"weights: {weights} does not contain the weights of {name} ({one_line(error)}); "
                "delete it and run again"
            ) from error
        load_weights(model, state, name, str(weights))
    backbone, n_features = _backbone(model, name)
    # built with dropout, because fastai omits layers with a dropout of 0 and renumbers those that follow
    model = add_head(backbone, n_features, n_classes, ps=[0.5, 0.5])
    set_dropout(model, dropout)
    return model


def set_dropout(model: nn.Sequential, probability: float) -> None:
    """Set the dropout probability of the head of a model."""
    for layer in model[1]:
        if isinstance(layer, nn.Dropout):
            layer.p = probability


def trained_metadata(name: str, classes: Sequence[str]) -> dict[str, str]:
    """Return the metadata of a trained model, for a safetensors file.

    safetensors writes several keys in random order. With a single one, equal models are equal files.
    """
    return {TRAINED: json.dumps({"name": name, "classes": list(classes)}, ensure_ascii=False)}


def load_trained(path: str | Path) -> tuple[nn.Sequential, tuple[str, ...]]:
    """Load the trained model of a cell, and the names of its classes in their order.

    Parameters
    ----------
    path : path
        A safetensors file with metadata as from `trained_metadata`.

    Raises
    ------
    EntrError
        If the file is damaged or does not contain such a model.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {})[TRAINED])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        classes = tuple(metadata["classes"])
        model = build_model(metadata["name"], len(classes))
        model.load_state_dict(state)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise EntrError(
            f"{path} does not contain the trained model of a cell ({one_line(error)}); "
            "delete its directory and run again"
        ) from error
    return model, classes


def layer_group_splitter(name: str) -> Splitter:
    """Return the function that divides the parameters of a model into early layers, late layers and head.

    It is fastai's own for the models that fastai knows. For other models the first half of those
    layers of the backbone that have parameters is early.
    """
    meta = _fastai_meta(name)
    return meta["split"] if meta else _split_in_half


def normalization(name: str) -> Statistics:
    """Return the mean and standard deviation by channel with which the weights of a model were trained."""
    if is_torchvision_model(name):
        weights = torchvision.models.get_model_weights(name).__members__.get(WEIGHTS_RECIPE)
        preset = weights.transforms() if weights else None
    else:
        preset = import_timm().get_pretrained_cfg(name)
    return _statistics(preset.mean, preset.std) if preset else _statistics(*imagenet_stats)


def _statistics(mean: Iterable[float], std: Iterable[float]) -> Statistics:
    return tuple(mean), tuple(std)


def create_model(name: str) -> nn.Module:
    """Create a randomly initialised model with its own classifier."""
    if is_torchvision_model(name):
        options = {"transform_input": True, "init_weights": False} if name in WITH_INPUT_TRANSFORM else {}
        return torchvision.models.get_model(name, weights=None, **options)
    return import_timm().create_model(name, pretrained=False)


def load_weights(model: nn.Module, state: State, name: str, source: str) -> None:
    """Copy weights into a model, by name of the tensors.

    Those of the classifier, which is replaced, may be missing or have other shapes. `load_state_dict`
    does not serve, because some models require a version that only pickled files contain.

    Parameters
    ----------
    model : Module
        Model with its own classifier, see `create_model`.
    state : mapping
        Tensors by name.
    name : str
        Name of the model.
    source : str
        Name of the file, for messages.

    Raises
    ------
    EntrError
        If tensors are missing, unknown or of another shape.
    """
    own = model.state_dict()
    required = [tensor for tensor in {**own, **state} if not tensor.startswith(_classifier_prefixes(model, name))]
    matching = {tensor for tensor in own if tensor in state and own[tensor].shape == state[tensor].shape}
    mismatches = {
        # files from before PyTorch 0.4.1 lack the number of batches, which nothing reads
        "missing": [
            tensor for tensor in required if tensor not in state and not tensor.endswith(".num_batches_tracked")
        ],
        "unknown": [tensor for tensor in required if tensor not in own],
        "of another shape": [
            tensor for tensor in required if tensor in own and tensor in state and tensor not in matching
        ],
    }
    if any(mismatches.values()):
        counts = ", ".join(
            f"{len(tensors)} {problem} (such as {shown(tensors[0], _on_one_line)})"
            for problem, tensors in mismatches.items()
            if tensors
        )
        raise EntrError(
            f"weights: {source} does not contain the weights of {name}: tensors {counts}; provide the correct file"
        )
    for tensor in matching:
        own[tensor].copy_(state[tensor])


def _on_one_line(name: str) -> str:
    # a file may contain any name
    return " ".join(name.split())


def _classifier_prefixes(model: nn.Module, name: str) -> tuple[str, ...]:
    """Return the prefixes of the tensors that the head replaces."""
    if is_torchvision_model(name):
        return tuple(f"{classifier}." for classifier in CLASSIFIERS)
    # other layers that timm counts to its head stay in the backbone
    classifiers = model.pretrained_cfg.get("classifier") or ()
    return tuple(f"{classifier}." for classifier in ([classifiers] if isinstance(classifiers, str) else classifiers))


def _backbone(model: nn.Module, name: str) -> tuple[nn.Module, int]:
    """Return the backbone of a model and the number of its features."""
    if meta := _fastai_meta(name):
        backbone = create_body(model, pretrained=False, cut=meta["cut"])
        return backbone, num_features_model(backbone)
    reason = "its backbone does not return feature maps, or it accepts a single image size only"
    remedy = "choose a convolutional model"
    try:
        # torch.fx prints a traceback in addition to raising the error
        with redirect_stderr(io.StringIO()):
            cut = _truncate_before_pooling if is_torchvision_model(name) else _without_classifier
            backbone = cut(model)
            small, large = (_forward_zeros(backbone, side) for side in PROBE_SIDES)
    except Exception as error:
        raise EntrError(f"grid.models: {name} cannot be used: {reason} ({one_line(error)}); {remedy}") from error
    if not _are_feature_maps(small, large):
        raise EntrError(f"grid.models: {name} cannot be used: {reason}; {remedy}")
    return backbone.train(), small.shape[1]


def _without_classifier(model: nn.Module) -> nn.Module:
    model.reset_classifier(0, "")
    return model


def _truncate_before_pooling(model: nn.Module) -> nn.Module:
    """Return the layers up to the last feature map, and check that only the classifier is removed."""
    nodes = get_graph_node_names(model.eval(), suppress_diff_warning=True)[1]
    all_nodes = create_feature_extractor(model, nodes, suppress_diff_warning=True)
    small, large = (_forward_zeros(all_nodes, side) for side in PROBE_SIDES)
    last = [node for node in small if _are_feature_maps(small[node], large[node])][-1]
    backbone = _LastFeatureMap(create_feature_extractor(model, [last], suppress_diff_warning=True), last)
    kept = {id(parameter) for parameter in backbone.parameters()}
    removed = {name.partition(".")[0] for name, parameter in model.named_parameters() if id(parameter) not in kept}
    if not removed <= CLASSIFIERS:
        raise ValueError(f"{', '.join(sorted(removed - CLASSIFIERS))} would be removed")
    return backbone


class _LastFeatureMap(nn.Module):
    """The single feature map of a feature extractor."""

    def __init__(self, extractor: nn.Module, name: str) -> None:
        super().__init__()
        self.extractor, self.name = extractor, name

    def forward(self, images: Tensor) -> Tensor:
        return self.extractor(images)[self.name]


def _are_feature_maps(small: Any, large: Any) -> bool:  # noqa: ANN401  nodes of a graph return values of any type
    """Tell whether the outputs for two image sizes have shape (b, channels, height, width) and grow with the image."""
    return (
        isinstance(small, Tensor)
        and small.ndim == large.ndim == 4
        and small.shape[1] == large.shape[1]
        and small.shape[2] < large.shape[2]
        and small.shape[3] < large.shape[3]
    )


@torch.inference_mode()
def _forward_zeros(model: nn.Module, side: int) -> Any:  # noqa: ANN401  a tensor, or several by name
    return model.eval()(torch.zeros(1, 3, side, side))


def _split_in_half(model: nn.Module) -> list[list[nn.Parameter]]:
    owners = [layer for layer in model[0].modules() if next(layer.parameters(recurse=False), None) is not None]
    halves = owners[: len(owners) // 2], owners[len(owners) // 2 :]
    return [
        *([parameter for layer in half for parameter in layer.parameters(recurse=False)] for half in halves),
        params(model[1]),
    ]


def _fastai_meta(name: str) -> Mapping[str, Any] | None:
    """Return where fastai cuts a model and how it groups its layers, if fastai knows the model."""
    if not is_torchvision_model(name):
        return None
    return model_meta.get(torchvision.models.get_model_builder(name))


def is_torchvision_model(name: str) -> bool:
    """Tell whether a model is from torchvision, which takes precedence over timm for names of both.

    Raises
    ------
    EntrError
        If neither package has the model.
    """
    of_torchvision = torchvision.models.list_models(module=torchvision.models)
    if name in of_torchvision:
        return True
    of_timm = {*import_timm().list_models(), *import_timm().list_models(include_tags=True)}
    if name in of_timm:
        return False
    close = difflib.get_close_matches(name, [*of_torchvision, *sorted(of_timm)], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise EntrError(f"grid.models: {name!r} is a model of neither torchvision nor timm{hint}")


def import_timm() -> Any:  # noqa: ANN401  a module
    """Import timm on demand: it is slow to import, and the models of the paper do not need it."""
    import timm  # noqa: PLC0415

    return timm
