"""Naming new images with a network that was taken home."""

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastcore.basics import chunked
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from entr import networks
from entr.folders import is_hidden
from entr.guards import EntrError
from entr.images import UnusableError, reduced
from entr.pixels import Cuts, Pixels, loader, resized
from entr.regimes import Augmentation

log = logging.getLogger("entr")


@dataclass(frozen=True)
class Named:
    """What an image was taken for."""

    path: str
    label: str = ""
    probability: float | None = None
    problem: str = ""
    """Why the file could not be used."""


@dataclass(frozen=True)
class Classifier:
    """A network with its classes, and how images are prepared for it."""

    network: nn.Module
    classes: tuple[str, ...]
    preprocessing: dict[str, Any]
    device: torch.device

    @classmethod
    def open(cls, folder: str | Path, device: torch.device) -> "Classifier":
        """Open a folder that `best.write` made.

        Raises
        ------
        EntrError
            When it is no such folder, or damaged.
        """
        try:
            preprocessing = json.loads(Path(folder, "preprocessing.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EntrError(f"{folder} is no folder that ENTR made: {error}; give results/best/<dataset>") from error
        network, classes = networks.finished(Path(folder, "model.safetensors"))
        return cls(network.eval().to(device), classes, preprocessing, device)

    def probabilities(self, images: list[Image.Image]) -> np.ndarray:
        """Return the probability of each class, shape (images, classes).

        Parameters
        ----------
        images : list of Image
            As `images.reduced` gives them.
        """
        extents = np.array([(image.height, image.width) for image in images])
        canvas = np.zeros((len(images), *extents.max(0), 3), np.uint8)
        for row, image in enumerate(images):
            canvas[row, : image.height, : image.width] = np.asarray(image)
        nobody = np.zeros(len(images), np.int64)
        pixels = Pixels(torch.from_numpy(canvas), extents, nobody, nobody > 0, (), self.classes)
        how = self.preprocessing
        cuts = Cuts(resized(pixels, how["size"], how["fit"], self.device), np.arange(len(images)), augmented=False)
        batches = loader(cuts, len(images), Augmentation(), statistics=(how["mean"], how["std"]))
        with torch.inference_mode():
            return torch.cat([self.network(batch).softmax(1).cpu() for batch, _ in batches]).numpy()

    def name(self, paths: Iterable[Path], batch_size: int) -> Iterator[Named]:
        """Yield what each file is taken for, in order; what is no image is said and passed over."""
        for some in chunked(tqdm(list(paths), unit="image", disable=None), batch_size):
            opened = [_opened(path, self.preprocessing["images"]) for path in some]
            images = [one for one in opened if isinstance(one, Image.Image)]
            found = iter(self.probabilities(images) if images else ())
            for path, one in zip(some, opened, strict=True):
                if isinstance(one, Image.Image):
                    row = next(found)
                    yield Named(str(path), self.classes[row.argmax()], float(row.max()))
                else:
                    yield Named(str(path), problem=one)


def _opened(path: Path, settings: dict[str, Any]) -> Image.Image | str:
    try:
        return reduced(path.read_bytes(), settings)[0]
    except (UnusableError, OSError) as error:
        return str(error)


def files(given: Iterable[str | Path]) -> list[Path]:
    """Return the files that are given, and those in folders, at any depth, sorted; hidden ones apart.

    Raises
    ------
    EntrError
        When there is no such file or folder, or none in it.
    """
    found = []
    for path in map(Path, given):
        if not path.exists():
            raise EntrError(f"there is no {path}; correct the path")
        below = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        found += [one for one in below if not any(map(is_hidden, one.relative_to(path).parts))]
    if not found:
        raise EntrError(f"no files in {', '.join(map(str, given))}")
    return found
