"""The networks: bodies of torchvision and timm with fastai's head."""

import difflib
import io
from collections.abc import Callable, Mapping
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

from entr.guards import EntrError

RECIPE = "IMAGENET1K_V1"
"""One recipe for every network: torchvision's default of today mixes two, which would confound a comparison."""
TRANSFORMS_INPUT = {"googlenet", "inception_v3"}
"""Networks whose ImageNet weights want their input scaled once more, which torchvision builds in."""
CLASSIFIERS = {"classifier", "fc", "head", "aux1", "aux2", "AuxLogits"}
"""What torchvision calls the parts that a network ends in, and that fastai's head replaces."""
SIDES = (128, 160)
"""Sides in px of the pictures on which a network must work: of more than one size."""

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
Splitter = Callable[[nn.Module], list[list[nn.Parameter]]]
State = dict[str, Tensor]


def build(model: str, classes: int, dropout: float = 0.0, weights: str | Path | None = None) -> nn.Sequential:
    """Build a network: body and head.

    Parameters
    ----------
    model : str
        A network of torchvision or timm whose features are maps, for images of any size.
    classes : int
        Number of classes.
    dropout : float
        Share of activations dropped before each of the head's two linear layers.
    weights : path, optional
        A safetensors file with weights of the whole network. Without it the body starts from
        random numbers, as the head always does.

    Returns
    -------
    Sequential
        Body and head; maps float images of shape (b, 3, size, size) to logits of shape (b, classes).

    Raises
    ------
    EntrError
        When there is no such network, its features are no maps, it takes images of one size only,
        or the file does not hold its weights.
    """
    network = whole(model)
    if weights is not None:
        try:
            state = load_file(weights)
        except (SafetensorError, OSError) as error:
            raise EntrError(f"{weights} does not hold the weights of {model}: {one_line(error)}") from error
        fit(network, state, model, str(weights))
    body, features = _body(network, model)
    # fastai leaves out a dropout of 0, and the names of the layers after it would change
    network = add_head(body, features, classes, ps=[0.5, 0.5])
    for layer in network[1]:
        if isinstance(layer, nn.Dropout):
            layer.p = dropout
    return network


def finished(path: str | Path) -> tuple[nn.Sequential, tuple[str, ...]]:
    """Load a network that a cell left, and the names of its classes in their order.

    Raises
    ------
    EntrError
        When the file holds no such network.
    """
    try:
        with safe_open(path, "pt") as file:
            about, state = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
        classes = tuple(about["classes"].split("\n"))
        network = build(about["model"], len(classes))
        network.load_state_dict(state)
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise EntrError(
            f"{path} holds no network that a cell left ({one_line(error)}); delete its folder and train it again"
        ) from error
    return network, classes


def layer_groups(model: str) -> Splitter:
    """Return what divides a network's parameters into early layers, late layers and head.

    For the networks that fastai knows, its own division; for others, the layers of the body that own
    parameters, in their order: the first half is early.
    """
    meta = _meta(model)
    return meta["split"] if meta else _halves


def normalization(model: str) -> Statistics:
    """Return mean and standard deviation by colour that a network's weights expect to be taken out."""
    if is_of_torchvision(model):
        weights = torchvision.models.get_model_weights(model).__members__.get(RECIPE)
        preset = weights.transforms() if weights else None
        return (tuple(preset.mean), tuple(preset.std)) if preset else tuple(map(tuple, imagenet_stats))
    config = timm_package().get_pretrained_cfg(model)
    return (tuple(config.mean), tuple(config.std)) if config else tuple(map(tuple, imagenet_stats))


def whole(model: str) -> nn.Module:
    """Build a network with its own classifier, from random numbers."""
    if is_of_torchvision(model):
        options = {"transform_input": True, "init_weights": False} if model in TRANSFORMS_INPUT else {}
        return torchvision.models.get_model(model, weights=None, **options)
    return timm_package().create_model(model, pretrained=False)


def fit(network: nn.Module, state: State, model: str, source: str) -> None:
    """Copy weights by name; those of the classifier, which is replaced, may be of other classes or missing.

    Not by `load_state_dict`: some networks ask it for a version, which no file but a pickled one holds.
    """
    own = network.state_dict()
    of_body = [name for name in {**own, **state} if not name.startswith(_classifiers(network, model))]
    same = {name for name in own if name in state and own[name].shape == state[name].shape}
    wrong = {
        # files from before PyTorch 0.4.1 do not count batches, and nothing reads the count
        "missing": [name for name in of_body if name not in state and not name.endswith(".num_batches_tracked")],
        "unknown": [name for name in of_body if name not in own],
        "of another shape": [name for name in of_body if name in own and name in state and name not in same],
    }
    if any(wrong.values()):
        counts = ", ".join(f"{len(names)} {what} (as {names[0]})" for what, names in wrong.items() if names)
        raise EntrError(f"{source} does not hold the weights of {model}: tensors {counts}; give the right file")
    for name in same:
        own[name].copy_(state[name])


def _classifiers(network: nn.Module, model: str) -> tuple[str, ...]:
    """Return how the names of the tensors begin that the head replaces."""
    if is_of_torchvision(model):
        return tuple(f"{name}." for name in CLASSIFIERS)
    # what else timm has in a part called head stays in the body
    named = network.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))


def _body(network: nn.Module, model: str) -> tuple[nn.Module, int]:
    """Cut a network off where its features are maps, and return their number too."""
    if meta := _meta(model):
        body = create_body(network, pretrained=False, cut=meta["cut"])
        return body, num_features_model(body)
    try:
        # a traced network prints where it failed, beside raising the error
        with redirect_stderr(io.StringIO()):
            body = _until_the_last_map(network) if is_of_torchvision(model) else _without_classifier(network)
            maps = [_on_zeros(body, side) for side in SIDES]
    except Exception as error:
        raise EntrError(
            f"grid.models: {model} cannot be used: its features are no maps, or it takes images of one size only "
            f"({one_line(error)}); choose a convolutional network"
        ) from error
    if not _are_maps(*maps):
        raise EntrError(
            f"grid.models: {model} cannot be used: its features are no maps; choose a convolutional network"
        )
    return body.train(), maps[0].shape[1]


def _without_classifier(network: nn.Module) -> nn.Module:
    network.reset_classifier(0, "")
    return network


def _until_the_last_map(network: nn.Module) -> nn.Module:
    """Keep what leads to the last map before pooling, and check that only the classifier is lost."""
    nodes = get_graph_node_names(network.eval(), suppress_diff_warning=True)[1]
    every = create_feature_extractor(network, nodes, suppress_diff_warning=True)
    small, large = (_on_zeros(every, side) for side in SIDES)
    last = [name for name in small if _are_maps(small[name], large[name])][-1]
    body = _LastMap(create_feature_extractor(network, [last], suppress_diff_warning=True), last)
    kept = {id(parameter) for parameter in body.parameters()}
    lost = {name.partition(".")[0] for name, parameter in network.named_parameters() if id(parameter) not in kept}
    if not lost <= CLASSIFIERS:
        raise ValueError(f"{', '.join(sorted(lost - CLASSIFIERS))} would be lost")
    return body


class _LastMap(nn.Module):
    """Give the one map of a feature extractor."""

    def __init__(self, extractor: nn.Module, name: str) -> None:
        super().__init__()
        self.extractor, self.name = extractor, name

    def forward(self, images: Tensor) -> Tensor:
        return self.extractor(images)[self.name]


def _are_maps(small: Any, large: Any) -> bool:  # noqa: ANN401  a graph's nodes hold whatever a network computes
    """Tell maps, of shape (b, channels, height, width), by how they grow with the picture."""
    return (
        isinstance(small, Tensor)
        and small.ndim == large.ndim == 4
        and small.shape[1] == large.shape[1]
        and small.shape[2] < large.shape[2]
        and small.shape[3] < large.shape[3]
    )


@torch.inference_mode()
def _on_zeros(network: nn.Module, side: int) -> Any:  # noqa: ANN401  a tensor, or several by name
    return network.eval()(torch.zeros(1, 3, side, side))


def _halves(network: nn.Module) -> list[list[nn.Parameter]]:
    owners = [layer for layer in network[0].modules() if next(layer.parameters(recurse=False), None) is not None]
    halves = owners[: len(owners) // 2], owners[len(owners) // 2 :]
    return [
        *([one for layer in half for one in layer.parameters(recurse=False)] for half in halves),
        params(network[1]),
    ]


def _meta(model: str) -> Mapping[str, Any] | None:
    """Return how fastai cuts and divides a network, if it knows it."""
    if not is_of_torchvision(model):
        return None
    return model_meta.get(torchvision.models.get_model_builder(model))


def is_of_torchvision(model: str) -> bool:
    """Tell whose network this is; torchvision's go before timm's of the same name.

    Raises
    ------
    EntrError
        When it is nobody's.
    """
    ours = torchvision.models.list_models(module=torchvision.models)
    if model in ours:
        return True
    theirs = {*timm_package().list_models(), *timm_package().list_models(include_tags=True)}
    if model in theirs:
        return False
    close = difflib.get_close_matches(model, [*ours, *sorted(theirs)], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise EntrError(f"grid.models: {model!r} is a network neither of torchvision nor of timm{hint}")


def timm_package() -> Any:  # noqa: ANN401  a module
    """Return timm: as slow to import as all else together, and the paper's networks need none of it."""
    import timm  # noqa: PLC0415

    return timm


def one_line(error: Exception) -> str:
    """Return what an exception says, which for torch's can be a page, on one short line."""
    text = " ".join(str(error).split())
    return text.rstrip(".") if len(text) < 300 else f"{text[:300]} …"
