"""The networks: bodies of torchvision and timm with fastai's head, and their first weights."""

import difflib
import logging
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import torch
import torchvision
from fastai.callback.hook import num_features_model
from fastai.torch_core import params
from fastai.vision.core import imagenet_stats
from fastai.vision.learner import add_head, create_body, model_meta
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from entr import downloads
from entr.guards import EntrError, atomic_write, sha256
from entr.limits import Limits

log = logging.getLogger("entr")

RECIPE = "IMAGENET1K_V1"
"""One recipe for every network: torchvision's default of today mixes two, which would confound a comparison."""
TRANSFORMS_INPUT = {"googlenet", "inception_v3"}
"""Networks whose ImageNet weights want their input scaled once more, which torchvision builds in."""
CLASSIFIERS = {"classifier", "fc", "head", "heads", "aux1", "aux2", "AuxLogits"}
"""What torchvision calls the parts that a network ends in, and that fastai's head replaces."""
SIDES = (128, 160)
"""Sides in px of the pictures on which a network must work: of more than one size."""
DIGITS_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
"""The first digits of a file's SHA-256 in its name, as torch.hub has them."""

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
Splitter = Callable[[nn.Module], list[list[nn.Parameter]]]
State = dict[str, Tensor]


def fetch_weights(
    model: str,
    destination: str | Path,
    limits: Mapping[str, Any],
    *,
    file: str | Path | None = None,
    sha256: str | None = None,
) -> None:
    """Bring a network's first weights to one place, checked, as safetensors.

    Nothing of what is read is ever run: pickled files are read as tensors alone.

    Parameters
    ----------
    model : str
        A network of torchvision or timm.
    destination : path
        The safetensors file to make. Its metadata say where the weights are from (``source``) and
        the SHA-256 of the file that they were in (``sha256``).
    limits : mapping
        The section ``download`` of the configuration.
    file : path, optional
        A safetensors or PyTorch file of the user's. Without it the network's ImageNet weights are
        downloaded: torchvision's `IMAGENET1K_V1`, or those that timm names.
    sha256 : str, optional
        What the SHA-256 of the file must be. Without it, digits in the file's name are compared, as in
        ``resnet18-f37072fd.pth``.

    Raises
    ------
    EntrError
        When there is no such network or file, the address cannot be reached, the checksum differs,
        the file holds anything but tensors, or the tensors are those of another network.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = (
            _on_this_machine(model, file) if file else _download(model, Path(folder), Limits.model_validate(limits))
        )
        digits = _checked_digits(model, source.path, sha256, source.name)
        state = _read(source.path, model)
    _fit(_whole(model), state, model, source.name)
    metadata = {"source": source.name, "sha256": digits}
    with atomic_write(destination, "wb") as opened:
        opened.write(save({name: tensor.clone().contiguous() for name, tensor in state.items()}, metadata))
    log.info("%s: weights from %s", model, source.name)


@dataclass(frozen=True)
class _Source:
    path: Path
    name: str
    """What results may say of it: an address, or a name without its folder."""


def _on_this_machine(model: str, file: str | Path) -> _Source:
    path = Path(file).expanduser()
    if not path.is_file():
        raise EntrError(f"weights: there is no file {str(file)!r} with the weights of {model}; correct the path")
    return _Source(path, path.name)


def _download(model: str, folder: Path, limits: Limits) -> _Source:
    address = _address(model)
    name = address if isinstance(address, str) else "/".join(address)
    try:
        if name == address:
            path = folder / Path(address).name
            with requests.Session() as session:
                downloads.receive(session, address, path, limits, max_bytes=limits.max_bytes, bar=True)
        else:
            import huggingface_hub  # noqa: PLC0415  only networks of timm need it

            path = Path(huggingface_hub.hf_hub_download(*address, cache_dir=folder))
    except Exception as error:
        raise EntrError(
            f"the weights of {model} could not be fetched from {name}: {_one_line(error)}. "
            "Run this step on a machine with internet, give a file of yours, or set weights: none"
        ) from error
    return _Source(path, name)


def _address(model: str) -> str | tuple[str, str]:
    """Return an address, or repository and file on the Hugging Face hub, of ImageNet weights."""
    if _is_of_torchvision(model):
        known = torchvision.models.get_model_weights(model).__members__
        if RECIPE not in known:
            raise EntrError(
                f"weights: torchvision has no {RECIPE} of {model}, but {', '.join(known) or 'none'}; "
                "download the one you want and give it as a file"
            )
        return known[RECIPE].url
    config = _timm().get_pretrained_cfg(model)
    if config and config.hf_hub_id:
        return config.hf_hub_id, config.hf_hub_filename or "model.safetensors"
    if config and config.url:
        return config.url
    raise EntrError(f"weights: timm has no pretrained weights of {model}; give a file of yours, or set weights: none")


def _checked_digits(model: str, path: Path, expected: str | None, name: str) -> str:
    digits = sha256(path)
    in_name = DIGITS_IN_NAME.search(path.name)
    wanted = (expected or (in_name[1] if in_name else "")).lower()
    if not digits.startswith(wanted):
        where = "the key weights_sha256" if expected else "its name"
        raise EntrError(
            f"the weights of {model} from {name} have the SHA-256 {digits}, but {where} says {wanted}; "
            "fetch them again, or correct the key"
        )
    if not wanted:
        log.warning(
            "nothing vouches for the weights of %s from %s: if you trust them, set weights_sha256: {%s: %s}",
            model, name, model, digits,
        )  # fmt: skip
    return digits


def _read(path: Path, model: str) -> State:
    """Read named tensors, and run nothing."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("state_dict", "model"):
            found = found[key] if isinstance(found.get(key), Mapping) else found
        if not found or not all(isinstance(tensor, Tensor) for tensor in found.values()):
            raise ValueError("it does not hold tensors by name")
    except Exception as error:
        raise EntrError(
            f"{path.name} does not hold the weights of {model}, or more than weights: {_one_line(error)}. "
            "Give a safetensors file, or one that torch.save made of a state_dict"
        ) from error
    return dict(found)


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
    network = _whole(model)
    if weights is not None:
        try:
            state = load_file(weights)
        except (SafetensorError, OSError) as error:
            raise EntrError(f"{weights} does not hold the weights of {model}: {_one_line(error)}") from error
        _fit(network, state, model, str(weights))
    body, features = _body(network, model)
    # fastai leaves out a dropout of 0, and the names of the layers after it would change
    network = add_head(body, features, classes, ps=[0.5, 0.5])
    for layer in network[1]:
        if isinstance(layer, nn.Dropout):
            layer.p = dropout
    return network


def layer_groups(model: str) -> Splitter:
    """Return what divides a network's parameters into early layers, late layers and head.

    For the networks that fastai knows, its own division; for others, the layers of the body that own
    parameters, in their order: the first half is early.
    """
    meta = _meta(model)
    return meta["split"] if meta else _halves


def normalization(model: str) -> Statistics:
    """Return mean and standard deviation by colour that a network's weights expect to be taken out."""
    if _is_of_torchvision(model):
        weights = torchvision.models.get_model_weights(model).__members__.get(RECIPE)
        preset = weights.transforms() if weights else None
        return (tuple(preset.mean), tuple(preset.std)) if preset else tuple(map(tuple, imagenet_stats))
    config = _timm().get_pretrained_cfg(model)
    return (tuple(config.mean), tuple(config.std)) if config else tuple(map(tuple, imagenet_stats))


def _whole(model: str) -> nn.Module:
    """Build a network with its own classifier, from random numbers."""
    if _is_of_torchvision(model):
        options = {"transform_input": True, "init_weights": False} if model in TRANSFORMS_INPUT else {}
        return torchvision.models.get_model(model, weights=None, **options)
    return _timm().create_model(model, pretrained=False)


def _fit(network: nn.Module, state: State, model: str, source: str) -> None:
    """Load weights; those of the classifier, which is replaced, may be of other classes or missing."""
    own = network.state_dict()
    prefixes = tuple(f"{name}." for name in _classifiers(network))
    other = [name for name in state if name in own and own[name].shape != state[name].shape]
    loaded = network.load_state_dict({name: state[name] for name in state if name not in other}, strict=False)
    wrong = {"missing": loaded.missing_keys, "unknown": loaded.unexpected_keys, "of another shape": other}
    found = {what: [name for name in names if not name.startswith(prefixes)] for what, names in wrong.items()}
    found["missing"] = [name for name in found["missing"] if name not in found["of another shape"]]
    if any(found.values()):
        counts = ", ".join(f"{len(names)} {what} (as {names[0]})" for what, names in found.items() if names)
        raise EntrError(f"{source} does not hold the weights of {model}: tensors {counts}; give the right file")


def _classifiers(network: nn.Module) -> set[str]:
    named = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    return CLASSIFIERS | ({named} if isinstance(named, str) else set(named))


def _body(network: nn.Module, model: str) -> tuple[nn.Module, int]:
    """Cut a network off where its features are maps, and return their number too."""
    if meta := _meta(model):
        body = create_body(network, pretrained=False, cut=meta["cut"])
        return body, num_features_model(body)
    try:
        body = _until_the_last_map(network) if _is_of_torchvision(model) else _without_classifier(network)
        maps = [_on_zeros(body, side) for side in SIDES]
    except Exception as error:
        raise EntrError(
            f"grid.models: {model} cannot be used: its features are no maps, or it takes images of one size only "
            f"({_one_line(error)}); choose a convolutional network"
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
    every = create_feature_extractor(network, get_graph_node_names(network.eval())[1])
    small, large = (_on_zeros(every, side) for side in SIDES)
    last = [name for name in small if _are_maps(small[name], large[name])][-1]
    body = _LastMap(create_feature_extractor(network, [last]), last)
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
    if not _is_of_torchvision(model):
        return None
    return model_meta.get(torchvision.models.get_model_builder(model))


def _is_of_torchvision(model: str) -> bool:
    """Tell whose network this is; torchvision's go before timm's of the same name.

    Raises
    ------
    EntrError
        When it is nobody's.
    """
    ours = torchvision.models.list_models(module=torchvision.models)
    if model in ours:
        return True
    if _timm().is_model(model):
        return False
    close = difflib.get_close_matches(model, [*ours, *_timm().list_models()], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise EntrError(f"grid.models: {model!r} is a network neither of torchvision nor of timm{hint}")


def _timm() -> Any:  # noqa: ANN401  a module
    import timm  # noqa: PLC0415  as slow to import as all else together, and the paper's networks need none of it

    return timm


def _one_line(error: Exception) -> str:
    """Return what an exception says, which for torch's can be a page, on one short line."""
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:300]} …"
