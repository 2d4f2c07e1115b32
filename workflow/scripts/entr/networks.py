"""The networks: torchvision's bodies with fastai's head, and where their first weights come from."""

import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torchvision
from fastai.callback.hook import num_features_model
from fastai.vision.learner import add_head, create_body, model_meta
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn
from torch.hub import load_state_dict_from_url

from entr.guards import EntrError, atomic_write

log = logging.getLogger("entr")


def fetch_weights(model: str, destination: str | Path, url: str | None = None) -> None:
    """Download a network's ImageNet weights, check them, and store them as safetensors.

    The weights are torchvision's `IMAGENET1K_V1` for every network: today's default mixes two
    training recipes, which would confound a comparison.

    Parameters
    ----------
    model : str
        A network of torchvision.
    destination : path
        The safetensors file to make.
    url : str, optional
        Another address; the first digits of the file's SHA-256 must stand in its name, as in
        ``resnet18-f37072fd.pth``.

    Raises
    ------
    EntrError
        When the address cannot be reached, the checksum differs, or the file holds anything but
        tensors.
    """
    address = url or torchvision.models.get_model_weights(model)["IMAGENET1K_V1"].url
    with tempfile.TemporaryDirectory() as folder:
        try:
            state = load_state_dict_from_url(address, folder, "cpu", progress=False, check_hash=True, weights_only=True)
        except Exception as error:
            raise EntrError(
                f"the weights of {model} could not be fetched from {address}: {error}. "
                "Run this step on a machine with internet, or set weights: none"
            ) from error
    with atomic_write(destination, "wb") as file:
        file.write(save({name: tensor.contiguous() for name, tensor in state.items()}, {"source": address}))
    log.info("%s: weights from %s", model, address)


def build(model: str, classes: int, dropout: float = 0.0, weights: str | Path | None = None) -> nn.Sequential:
    """Build a network: body and head.

    Parameters
    ----------
    model : str
        A network of torchvision.
    classes : int
        Number of classes.
    dropout : float
        Share of activations dropped before each of the head's two linear layers.
    weights : path, optional
        A safetensors file with weights of the whole torchvision network. Without it the body
        starts from random numbers, as the head always does.

    Returns
    -------
    Sequential
        Body and head; maps float images of shape (b, 3, size, size) to logits of shape (b, classes).

    Raises
    ------
    EntrError
        When the file is no safetensors file or holds the weights of another network.
    """
    network = torchvision.models.get_model(model, weights=None)
    if weights is not None:
        try:
            network.load_state_dict(load_file(weights))
        except (SafetensorError, RuntimeError) as error:
            raise EntrError(f"{weights} does not hold the weights of {model}: {error}") from error
    body = create_body(network, pretrained=False, cut=_meta(model)["cut"])
    # fastai leaves out a dropout of 0, and the names of the layers after it would change
    network = add_head(body, num_features_model(body), classes, ps=[0.5, 0.5])
    for layer in network[1]:
        if isinstance(layer, nn.Dropout):
            layer.p = dropout
    return network


def layer_groups(model: str) -> Callable[[nn.Module], list[list[nn.Parameter]]]:
    """Return what divides a network's parameters into early layers, late layers and head."""
    return _meta(model)["split"]


def _meta(model: str) -> Mapping[str, Any]:
    return model_meta[torchvision.models.get_model_builder(model)]
