"""Batches cut from pixels that already lie on the device: no decoding, no workers, no copies.

The small images of a dataset are one array. For each phase they are resized once, antialiased,
to the phase's size, on the device; a batch is then an index into them, a cut, and fastai's
batch transforms.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.data.load import DataLoader
from fastai.data.transforms import IntToFloatTensor, Normalize
from fastai.torch_core import TensorImage
from fastai.vision.augment import aug_transforms
from fastai.vision.core import imagenet_stats
from fastcore.basics import chunked
from fasttransform.transform import Pipeline
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from entr.regimes import Augmentation, Fit

Statistic = Sequence[float]

RESIZED_AT_ONCE = 256
"""Images that are resized together; bounds the memory of the float copies that a GPU needs."""


@dataclass(frozen=True)
class Pixels:
    """All images of a dataset as they are stored, and which of them validate."""

    images: np.ndarray
    """uint8, shape (n, height, width, 3), memory-mapped; each image in its upper left corner."""
    extents: np.ndarray
    """Height and width in px of each image, shape (n, 2)."""
    classes: np.ndarray
    """Class number of each image, shape (n,)."""
    validation: np.ndarray
    """Whether each image validates, shape (n,)."""
    names: tuple[str, ...]
    """The small image that each row was packed from."""
    labels: tuple[str, ...]
    """Name of each class, by its number."""

    @classmethod
    def open(cls, pixels: str | Path, manifest: str | Path, split: str | Path) -> "Pixels":
        """Open the packed pixels, their manifest and a split; all three have the same rows."""
        table = pd.read_csv(manifest, keep_default_na=False)
        sides = pd.read_csv(split, dtype={"label": str}, keep_default_na=False)
        return cls(
            images=np.load(pixels, mmap_mode="r"),
            extents=table[["height", "width"]].to_numpy(),
            classes=sides["class"].to_numpy(),
            validation=sides["validation"].to_numpy(),
            names=tuple(sides["image"]),
            labels=tuple(sides.drop_duplicates("class").sort_values("class")["label"]),
        )


@dataclass(frozen=True)
class Resized:
    """All images of a dataset at one size, on the device."""

    images: Tensor
    """uint8, shape (n, 3, height, width); each image in the upper left corner."""
    extents: Tensor
    """Height and width in px of each image, shape (n, 2)."""
    classes: Tensor
    """Class number of each image, shape (n,)."""
    size: int
    """Side of the square that is cut from each image, in px."""


def resized(pixels: Pixels, size: int, fit: Fit, device: torch.device, enlarge_to: int | None = None) -> Resized:
    """Resize all images of a dataset to one size.

    Parameters
    ----------
    pixels : Pixels
        The stored images.
    size : int
        Side of the squares in px.
    fit : {"crop", "squish", "pad"}
        Bring the shorter side to `size` and cut later, both sides, or the longer one with black
        beside it.
    device : torch.device
        Where the resized images are kept.
    enlarge_to : int, optional
        Enlarge the images of `size` to squares of this side, so that they are blurred.
    """
    final = enlarge_to or size
    targets = np.array([_target(height, width, final, fit) for height, width in pixels.extents])
    canvas = (final, final) if fit == "pad" else tuple(targets.max(0))
    images = torch.zeros((len(targets), 3, *canvas), dtype=torch.uint8, device=device)
    for shape in np.unique(pixels.extents, axis=0):
        rows = np.flatnonzero((pixels.extents == shape).all(1))
        height, width = targets[rows[0]]
        reduced = _target(*shape, size, fit)
        top, left = ((final - height) // 2, (final - width) // 2) if fit == "pad" else (0, 0)
        for some in np.array_split(rows, -(-len(rows) // RESIZED_AT_ONCE)):
            stored = torch.from_numpy(pixels.images[some, : shape[0], : shape[1]]).to(device).permute(0, 3, 1, 2)
            small = transform.resize(stored, list(map(int, reduced)), antialias=True)
            if enlarge_to:
                small = transform.resize(small, [int(height), int(width)], antialias=True)
            images[some, :, top : top + height, left : left + width] = small
    extents = np.full_like(targets, final) if fit == "pad" else targets
    return Resized(images, _to(extents, device), _to(pixels.classes, device), final)


def _target(height: int, width: int, size: int, fit: Fit) -> tuple[int, int]:
    """Return the height and width of an image after resizing, each at least 1 px."""
    if fit == "squish":
        return size, size
    scale = size / (min if fit == "crop" else max)(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _to(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)


class Cuts:
    """Squares of resized images: the dataset behind a `PixelLoader`.

    Parameters
    ----------
    resized : Resized
        The images.
    rows : array of int
        Which of them belong to this dataset.
    augmented : bool
        Cut at random places, as in training, rather than from the centre.
    """

    def __init__(self, resized: Resized, rows: np.ndarray, *, augmented: bool) -> None:
        self.resized, self.augmented = resized, augmented
        self.rows = _to(rows, resized.images.device)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: list[int]) -> tuple[TensorImage, Tensor]:
        """Return the images, uint8 of shape (b, 3, size, size), and class numbers of a batch."""
        source = self.resized
        rows = self.rows[positions]
        # drawn for square images too, so that every size sees the same random numbers afterwards
        where = torch.rand(len(rows), 2, device=rows.device) if self.augmented else 0.5
        if source.images.shape[2:] == (source.size, source.size):
            return TensorImage(source.images[rows]), source.classes[rows]
        corners = ((source.extents[rows] - source.size) * where).round().long()
        side = torch.arange(source.size, device=rows.device)
        y, x = corners[:, 0, None] + side, corners[:, 1, None] + side
        cut = source.images[rows[:, None, None], :, y[:, :, None], x[:, None, :]]
        return TensorImage(cut.permute(0, 3, 1, 2)), source.classes[rows]


class Draws:
    """Batches of squares whose size is drawn: the dataset behind a `PixelLoader`.

    Parameters
    ----------
    cuts : sequence of Cuts
        The same images at several sizes.
    """

    def __init__(self, cuts: Sequence[Cuts]) -> None:
        self.cuts, self.resized, self.augmented = cuts, cuts[0].resized, cuts[0].augmented
        self.seen: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.cuts[0])

    def __getitem__(self, positions: list[int]) -> tuple[TensorImage, Tensor]:
        """Return images and class numbers of a batch, as `Cuts` does, and count them by size."""
        chosen = self.cuts[int(torch.randint(len(self.cuts), ()))]
        self.seen[chosen.resized.size] += len(positions)
        return chosen[positions]


class PixelLoader(DataLoader):
    """fastai's data loader, taking each batch from the device in one piece, or in several."""

    parts = 1
    """Pieces into which each batch of `bs` images is divided."""

    def create_batches(self, samples):  # noqa: D102, ANN001, ANN201  an override of fastai's
        for chunk in chunked(samples, self.bs, self.drop_last):
            yield from (self.dataset[part] for part in chunked(chunk, -(-self.bs // self.parts)))

    def __len__(self) -> int:
        """Return the number of pieces that come out."""
        return super().__len__() * self.parts


def loader(
    cuts: Cuts | Draws,
    batch_size: int,
    augmentation: Augmentation,
    *,
    statistics: tuple[Statistic, Statistic] = imagenet_stats,
    shuffle: bool = False,
    parts: int = 1,
) -> PixelLoader:
    """Return batches of normalised images, augmented where their cuts are.

    Parameters
    ----------
    cuts : Cuts
        The images; float32 of shape (b, 3, size, size) come out.
    batch_size : int
        Images a batch. While shuffling, a last incomplete batch is left out: a batch of one
        would break BatchNorm.
    augmentation : Augmentation
        The random changes.
    statistics : pair of tuple of float, optional
        Mean and standard deviation by colour that the network expects to be taken out; those of
        ImageNet by default.
    shuffle : bool
        Draw a new order each epoch.
    parts : int
        Pieces in which a batch comes out; only for whole batches, as while shuffling.
    """
    device = cuts.resized.images.device
    transforms = [
        IntToFloatTensor(),
        *_random(augmentation),
        Normalize.from_stats(*statistics, cuda=device.type == "cuda"),
    ]
    batches = PixelLoader(
        cuts,
        bs=min(batch_size, len(cuts)),
        shuffle=shuffle,
        drop_last=shuffle,
        device=device,
        # fastai applies random transforms in split 0 alone
        after_batch=Pipeline(transforms, split_idx=0 if cuts.augmented else 1),
    )
    batches.parts = min(parts, batches.bs)
    return batches


def _random(augmentation: Augmentation) -> list:
    return aug_transforms(
        do_flip=augmentation.flip != "none",
        flip_vert=augmentation.flip == "dihedral",
        max_rotate=augmentation.max_rotate,
        max_zoom=augmentation.max_zoom,
        max_warp=augmentation.max_warp,
        max_lighting=augmentation.max_lighting,
    )
