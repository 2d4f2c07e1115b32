"""Batches cut from pixels that already lie on the device: no decoding, no workers, no copies.

The small images of a dataset are one array, moved to the device once. For each phase they are
resized once, antialiased, to the phase's size, on the device; a batch is then an index into them, a
cut, and the views that were drawn for the epoch.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from fastai.data.load import DataLoader
from fastai.vision.core import imagenet_stats
from fastcore.basics import chunked
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from entr import devices
from entr.regimes import Augmentation, Fit
from entr.views import Views

log = logging.getLogger("entr")

Statistic = Sequence[float]

RESIZED_AT_ONCE = 256
"""Images that are resized together; bounds the memory of the float copies that a GPU needs."""

IMAGES_IN_CACHE = 4
"""Images that a processor augments together, in two thirds of the time that a whole batch of 250 px takes."""


@dataclass(frozen=True)
class Pixels:
    """All images of a dataset as they are stored, and which of them validate."""

    images: Tensor
    """uint8, shape (n, height, width, 3); each image in its upper left corner. Memory-mapped on the host."""
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
            # what torch may write to, it takes without a warning; nothing reaches the file
            images=torch.from_numpy(np.load(pixels, mmap_mode="c")),
            extents=table[["height", "width"]].to_numpy(),
            classes=sides["class"].to_numpy(),
            validation=sides["validation"].to_numpy(),
            names=tuple(sides["image"]),
            labels=tuple(sides.drop_duplicates("class").sort_values("class")["label"]),
        )

    def part(self, rows: np.ndarray) -> Self:
        """Return some of the images."""
        names = tuple(np.array(self.names)[rows])
        images = self.images[torch.from_numpy(rows).to(self.images.device)]
        arrays = {name: getattr(self, name)[rows] for name in ("extents", "classes", "validation")}
        return replace(self, images=images, names=names, **arrays)

    def to(self, device: torch.device) -> Self:
        """Return the same images on a device, or on the host, said in the log, where it is too small."""
        place = _place(device, self.images.numel(), "the stored images")
        return replace(self, images=self.images.to(place))


@dataclass(frozen=True)
class Resized:
    """All images of a dataset at one size."""

    images: Tensor
    """uint8, shape (n, 3, height, width); each image in the upper left corner. On the device, or on
    the host where that is too small."""
    extents: Tensor
    """Height and width in px of each image, shape (n, 2)."""
    classes: Tensor
    """Class number of each image, shape (n,)."""
    size: int
    """Side of the square that is cut from each image, in px."""
    device: torch.device
    """Where batches are wanted."""


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
    place = _place(device, 3 * len(targets) * int(np.prod(canvas)), f"the images of {final} px")
    images = torch.zeros((len(targets), 3, *canvas), dtype=torch.uint8, device=place)
    for shape in np.unique(pixels.extents, axis=0):
        rows = np.flatnonzero((pixels.extents == shape).all(1))
        height, width = targets[rows[0]]
        reduced = _target(*shape, size, fit)
        top, left = ((final - height) // 2, (final - width) // 2) if fit == "pad" else (0, 0)
        for some in np.array_split(rows, -(-len(rows) // RESIZED_AT_ONCE)):
            stored = pixels.images[torch.from_numpy(some).to(pixels.images.device), : shape[0], : shape[1]]
            small = transform.resize(stored.to(device).permute(0, 3, 1, 2), list(map(int, reduced)), antialias=True)
            if enlarge_to:
                small = transform.resize(small, [int(height), int(width)], antialias=True)
            images[some, :, top : top + height, left : left + width] = small
    extents = np.full_like(targets, final) if fit == "pad" else targets
    return Resized(images, _to(extents, place), _to(pixels.classes, place), final, device)


def _place(device: torch.device, size: int, what: str) -> torch.device:
    """Return where images of so many bytes are kept: on the device, if it has room for them and for work."""
    if devices.has_room(device, size):
        return device
    log.warning(
        "%s (%.1f GB) do not fit on %s beside a network; they stay in the memory of the host, and every batch is "
        "copied, within the time that is measured",
        what, size / 1e9, devices.name(device),
    )  # fmt: skip
    return torch.device("cpu")


def _target(height: int, width: int, size: int, fit: Fit) -> tuple[int, int]:
    """Return the height and width of an image after resizing, each at least 1 px."""
    if fit == "squish":
        return size, size
    scale = size / (min if fit == "crop" else max)(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _to(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)


@dataclass(frozen=True)
class Cuts:
    """Squares of resized images: the dataset behind a `PixelLoader`."""

    resized: Resized
    """The images."""
    rows: np.ndarray
    """Which of them belong to this dataset."""
    augmented: bool
    """Whether they are seen in random views, as in training, rather than as they are."""

    @property
    def device(self) -> torch.device:
        """Where batches are wanted."""
        return self.resized.device

    @property
    def place(self) -> torch.device:
        """Where the images are kept."""
        return self.resized.images.device

    def __len__(self) -> int:
        return len(self.rows)

    def cut(self, rows: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
        """Return squares of some images, and their class numbers, on the device.

        Parameters
        ----------
        rows : Tensor
            Rows of the images, int64 of shape (b,), where the images are kept.
        corners : Tensor
            Upper left corner of each square as a share of the room there is, as in `Views`.

        Returns
        -------
        squares : Tensor
            uint8, shape (b, 3, size, size).
        classes : Tensor
            int64, shape (b,).
        """
        source = self.resized
        if source.images.shape[2:] == (source.size, source.size):
            squares = source.images[rows]
        else:
            side = torch.arange(source.size, device=rows.device)
            room = source.extents[rows] - source.size
            top, left = (room * corners.to(rows.device)).round().long().unbind(1)
            y, x = top[:, None] + side, left[:, None] + side
            squares = source.images[rows[:, None, None], :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
        return squares.to(self.device), source.classes[rows].to(self.device)


class Draws:
    """Squares whose size is drawn for each batch: the dataset behind a `PixelLoader`.

    Parameters
    ----------
    cuts : sequence of Cuts
        The same images at several sizes.
    """

    def __init__(self, cuts: Sequence[Cuts]) -> None:
        self.cuts, self.rows, self.augmented = cuts, cuts[0].rows, cuts[0].augmented
        self.device, self.place = cuts[0].device, cuts[0].place
        self.seen: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.cuts[0])

    def cut(self, rows: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
        """Return squares and class numbers, as `Cuts` does, and count them by size."""
        chosen = self.cuts[int(torch.randint(len(self.cuts), ()))]
        self.seen[chosen.resized.size] += len(rows)
        return chosen.cut(rows, corners)


class PixelLoader(DataLoader):
    """fastai's data loader, taking each batch from the device in one piece, or in several.

    The views of an epoch are drawn and moved to the device together when it begins.
    """

    augmentation: Augmentation
    scale: Tensor
    shift: Tensor
    """Of each colour; they normalise it."""
    parts = 1
    """Pieces into which each batch of `bs` images is divided."""

    def create_batches(self, samples: Iterable[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised images, float32 of shape (b, 3, size, size), and class numbers."""
        chosen = self.dataset.rows[list(samples)]
        augmented = self.dataset.augmented
        drawn = Views.draw(self.augmentation, len(chosen)) if augmented else Views.plain(len(chosen))
        rows, views = torch.from_numpy(chosen).to(self.dataset.place), drawn.to(self.dataset.device)
        for whole in chunked(range(len(rows)), self.bs, self.drop_last):
            for part in chunked(whole, -(-self.bs // self.parts)):
                which = slice(part[0], part[-1] + 1)
                squares, classes = self.dataset.cut(rows[which], views.corners[which])
                yield self._seen(squares, views[which]), classes

    def _seen(self, squares: Tensor, views: Views) -> Tensor:
        """Return images as views show them, normalised, in the layout that convolutions like best."""
        seen = torch.empty(squares.shape, device=squares.device, memory_format=torch.channels_last)
        together = IMAGES_IN_CACHE if squares.device.type == "cpu" else len(squares)
        for begin in range(0, len(squares), together):
            some = slice(begin, begin + together)
            # normalised and laid out in one pass
            torch.addcmul(self.shift, views[some].of(squares[some]), self.scale, out=seen[some])
        return seen

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
    cuts : Cuts or Draws
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
    device = cuts.device
    size = min(batch_size, len(cuts))
    batches = PixelLoader(cuts, bs=size, shuffle=shuffle, drop_last=shuffle, indexed=True, device=device)
    batches.augmentation = augmentation
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in statistics)
    batches.scale, batches.shift = 1 / std, -mean / std
    batches.parts = min(parts, size)
    return batches
