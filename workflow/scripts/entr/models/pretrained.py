"""Pretrained weights: downloaded or local, verified, stored as safetensors; no code in them is executed."""

import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors.torch import load_file, save
from torch import Tensor

from entr.config.download_settings import DownloadSettings
from entr.data import download
from entr.data.checksum_record import ChecksumRecord
from entr.data.http_session import open_session
from entr.jobs.errors import EntrError, one_line
from entr.jobs.files import atomic_write, sha256
from entr.jobs.locks import exclusive_lock
from entr.models import architectures

log = logging.getLogger("entr")

SHA256_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
"""First digits of the SHA-256 in a file name, as in those of torch.hub."""
LEGACY_DENSENET_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")
"""Tensor name in torchvision's files of DenseNet, from a time when names of modules could contain a dot."""


def fetch_weights(
    model: str,
    destination: str | Path,
    download_settings: Mapping[str, Any],
    checksum_record: str | Path,
    *,
    file: str | Path | None = None,
    sha256: str | None = None,
) -> None:
    """Fetch the pretrained weights of a model, verify them, and store them as safetensors.

    Pickled files are loaded with ``weights_only=True``; no code in them is executed.

    Parameters
    ----------
    model : str
        A model of torchvision or timm.
    destination : path
        The safetensors file to write. Its metadata contain the origin of the weights (``source``) and
        the SHA-256 of the original file (``sha256``). An incomplete download is kept next to it, so
        that another run resumes it.
    download_settings : mapping
        The section ``download`` of the configuration.
    checksum_record : path
        File of a `ChecksumRecord`, by which downloads are verified if `sha256` is not given.
    file : path, optional
        A local safetensors or PyTorch file. By default ImageNet weights are downloaded: torchvision's
        `IMAGENET1K_V1`, or the default weights of timm.
    sha256 : str, optional
        Expected SHA-256 of the file. By default the digits in the file name, as in ``resnet18-f37072fd.pth``, and the
        recorded checksum are compared.

    Raises
    ------
    EntrError
        If the model or the file does not exist, the download fails, the checksum differs, the file
        contains anything but tensors, the tensors belong to another model, or another process
        fetches the same weights.
    """
    destination = Path(destination)
    cache = destination.with_name(f".{destination.name}.download")
    record = None if file or sha256 else ChecksumRecord(checksum_record)
    with exclusive_lock(destination.with_name(f".{destination.name}.lock"), f"fetching the weights of {model}"):
        if file:
            source = _local_file(model, file)
        else:
            source = _download(model, cache, DownloadSettings.model_validate(download_settings))
        try:
            digest = _verify_sha256(model, source, sha256, record)
            state = _read(source.path, model)
        finally:
            # a complete download with a wrong content would be as wrong in the next run
            shutil.rmtree(cache, ignore_errors=True)
        architectures.load_weights(architectures.create_model(model), state, model, source.origin)
        metadata = {"source": source.origin, "sha256": digest}
        with atomic_write(destination, "wb") as opened:
            opened.write(save({name: tensor.clone().contiguous() for name, tensor in state.items()}, metadata))
        if record:
            record.add({source.origin: digest})
    log.info("%s: weights stored (from %s)", model, source.origin)


@dataclass(frozen=True)
class _Source:
    """A file of weights."""

    path: Path
    origin: str
    """Its URL, or its name without the directory; results may contain it."""


def _local_file(model: str, file: str | Path) -> _Source:
    path = Path(file)
    if not path.is_file():
        raise EntrError(f"weights: the file {str(file)!r} with the weights of {model} does not exist; correct the path")
    return _Source(path, path.name)


def _download(model: str, cache: Path, settings: DownloadSettings) -> _Source:
    address = weights_address(model)
    origin = address if isinstance(address, str) else "/".join(address)
    try:
        if isinstance(address, str):
            path = cache / Path(address).name
            with open_session() as session:
                download.download_one(session, address, path, settings, progress_bar=True)
        else:
            import huggingface_hub  # noqa: PLC0415  only the models of timm need it

            path = Path(huggingface_hub.hf_hub_download(*address, cache_dir=cache))
    except Exception as error:
        raise EntrError(
            f"weights: the weights of {model} could not be fetched from {origin}: {one_line(error)}. "
            "Run this step with internet access, set weights to a local file, or set weights: none"
        ) from error
    return _Source(path, origin)


def weights_address(model: str) -> str | tuple[str, str]:
    """Return the URL of ImageNet weights, or their repository and file on the Hugging Face Hub."""
    recipe = architectures.WEIGHTS_RECIPE
    if architectures.is_torchvision_model(model):
        available = torchvision.models.get_model_weights(model).__members__
        if recipe not in available:
            raise EntrError(
                f"weights: torchvision has no {recipe} weights of {model} (available: "
                f"{', '.join(available) or 'none'}); download a file and set weights to it, or set weights: none"
            )
        return available[recipe].url
    config = architectures.import_timm().get_pretrained_cfg(model)
    if config and config.hf_hub_id:
        return config.hf_hub_id, config.hf_hub_filename or "model.safetensors"
    if config and config.url:
        return config.url
    raise EntrError(
        f"weights: timm has no pretrained weights of {model}; set weights to a local file, or set weights: none"
    )


def _verify_sha256(model: str, source: _Source, expected: str | None, record: ChecksumRecord | None) -> str:
    """Return the SHA-256 of a file, after comparing it with the configuration, or with its name and the record."""
    digest = sha256(source.path)
    in_name = SHA256_IN_NAME.search(source.path.name)
    required = (expected or (in_name[1] if in_name else "")).lower()
    if not digest.startswith(required):
        reference = "the key weights_sha256" if expected else "the file name"
        remedy = "correct the key" if expected else "rename a local file, set weights_sha256"
        raise EntrError(
            f"weights: checksum mismatch of the weights of {model} from {source.origin}: the SHA-256 is {digest}, but "
            f"{reference} says {required}; {remedy}, or fetch the file again"
        )
    recorded = record.find([source.origin]) if record else None
    if record and recorded not in {None, digest}:
        raise EntrError(
            f"weights: checksum mismatch of the weights of {model} from {source.origin}: the SHA-256 is {digest}, "
            f"expected {recorded}; {record.remedy('weights_sha256')}"
        )
    if not required:
        log.warning(
            "no checksum configured for the weights of %s from %s; to pin this file, set weights_sha256: {%s: %s}",
            model,
            source.origin,
            model,
            digest,
        )
    return digest


def _read(path: Path, model: str) -> architectures.State:
    """Read tensors by name, without executing code."""
    try:
        return load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except Exception as error:
        raise EntrError(
            f"weights: {path.name} does not contain the weights of {model}, or more than weights: {one_line(error)}. "
            "Provide a safetensors file, or a state_dict saved by torch.save"
        ) from error


def _unpickled(path: Path) -> architectures.State:
    """Read a PyTorch file of tensors by name, which may be nested under a key."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # not the message of torch, which recommends to execute the code in the file
        raise ValueError("it is not a PyTorch file, or contains code, which is not executed") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(one, Tensor) for one in content.values()):
        raise ValueError("it is not a state_dict (tensors by name)")
    return {LEGACY_DENSENET_NAME.sub(r"\1\2", name): tensor for name, tensor in content.items()}
