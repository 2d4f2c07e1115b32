"""The first weights of networks: where they come from, checked, and never run."""

import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import torch
import torchvision
from safetensors.torch import load_file, save
from torch import Tensor

from entr import downloads, networks
from entr.guards import EntrError, atomic_write, exclusive, sha256
from entr.limits import Limits

log = logging.getLogger("entr")

DIGITS_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
"""The first digits of a file's SHA-256 in its name, as torch.hub has them."""
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")
"""Names in torchvision's files of DenseNet, from a time when a module's name could hold a dot."""


def fetch(
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
        the SHA-256 of the file that they were in (``sha256``). What is downloaded lies beside it
        until it is whole, so that another run goes on with it.
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
        the file holds anything but tensors, the tensors are those of another network, or another
        process fetches them.
    """
    destination = Path(destination)
    beside = destination.with_name(f".{destination.name}.download")
    with exclusive(destination.with_name(f".{destination.name}.lock"), f"the fetch of the weights of {model}"):
        source = _on_this_machine(model, file) if file else _download(model, beside, Limits.model_validate(limits))
        try:
            digits = _checked_digits(model, source.path, sha256, source.name)
            state = _read(source.path, model)
        finally:
            # what is whole and wrong would be as wrong the next time
            shutil.rmtree(beside, ignore_errors=True)
        networks.fit(networks.whole(model), state, model, source.name)
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
    path = Path(file)
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
            f"the weights of {model} could not be fetched from {name}: {networks.one_line(error)}. "
            "Run this step on a machine with internet, give a file of yours, or set weights: none"
        ) from error
    return _Source(path, name)


def _address(model: str) -> str | tuple[str, str]:
    """Return an address, or repository and file on the Hugging Face hub, of ImageNet weights."""
    if networks.is_of_torchvision(model):
        known = torchvision.models.get_model_weights(model).__members__
        if networks.RECIPE not in known:
            raise EntrError(
                f"weights: torchvision has no {networks.RECIPE} of {model}, but {', '.join(known) or 'none'}; "
                "download the one you want and give it as a file"
            )
        return known[networks.RECIPE].url
    config = networks.timm_package().get_pretrained_cfg(model)
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
            f"{'correct the key' if expected else 'rename a file of yours, or set weights_sha256'}, or fetch them again"
        )
    if not wanted:
        log.warning(
            "nothing vouches for the weights of %s from %s: if you trust them, set weights_sha256: {%s: %s}",
            model, name, model, digits,
        )  # fmt: skip
    return digits


def _read(path: Path, model: str) -> networks.State:
    """Read named tensors, and run nothing."""
    try:
        return load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except Exception as error:
        raise EntrError(
            f"{path.name} does not hold the weights of {model}, or more than weights: {networks.one_line(error)}. "
            "Give a safetensors file, or one that torch.save made of a state_dict"
        ) from error


def _unpickled(path: Path) -> networks.State:
    """Read a PyTorch file of tensors by name, which may lie under a name of their own."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # not in the words of torch, which recommend to run what the file holds
        raise ValueError("it is no file of PyTorch's, or holds code, which is not run") from error
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found or not all(isinstance(one, Tensor) for one in found.values()):
        raise ValueError("it does not hold tensors by name")
    return {OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in found.items()}
