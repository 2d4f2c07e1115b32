"""The memory that a model takes: its weights, and a training step."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from entr.models.architectures import build_model


@dataclass(frozen=True)
class ModelMemory:
    """Bytes of a model in float32."""

    weights: int
    """Of its file: parameters and statistics of BatchNorm."""
    training: int
    """Of a training step of all layers, without the temporary memory of its kernels: the weights, their gradients and
    momenta, and everything that the backward pass needs."""


def measure_memory(name: str, n_classes: int, batch_size: int, size: int) -> ModelMemory:
    """Compute the memory of a model without computing or allocating its feature maps.

    Parameters
    ----------
    name : str
        A model of torchvision or timm.
    n_classes : int
        Number of classes.
    batch_size : int
        Images that are passed to the model at a time.
    size : int
        Side of the images in px.
    """
    model = build_model(name, n_classes).to("meta").train()
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    updated = sum(parameter.nbytes for parameter in model.parameters())
    # BatchNorm of a single feature vector is an error
    saved = _saved_bytes(model, torch.empty(max(2, batch_size), 3, size, size, device="meta"))
    return ModelMemory(weights, weights + 2 * updated + saved)


def _saved_bytes(model: nn.Module, images: Tensor) -> int:
    """Return the bytes that autograd saves for the backward pass, without the parameters."""
    parameters = {StorageWeakRef(parameter.untyped_storage()) for parameter in model.parameters()}
    saved: dict[StorageWeakRef, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[StorageWeakRef(storage)] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(count, lambda tensor: tensor):
        model(images)
    return sum(n_bytes for storage, n_bytes in saved.items() if storage not in parameters)
