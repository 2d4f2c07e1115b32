"""The packed images of a dataset, and resizing all of them to one size on the device."""

import logging
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from entr.config.training import ResizeMethod
from entr.devices import torch_device
from entr.jobs.tables import read_table

log = logging.getLogger("entr")

UINT8_CAPABILITIES, UINT8_MACHINES = {"AVX2", "AVX512"}, {"aarch64", "arm64"}
"""Instructions and machines for which torch has a vectorised kernel for uint8 images."""
IMAGES_PER_CHUNK = 64
"""Images that are resized together; bounds the memory of the float copies that a GPU needs."""


@dataclass(frozen=True)
class PackedImages:
    """All images of a dataset as they are stored, and which of them are for validation."""

    images: Tensor
    """uint8, shape (n, height, width, 3); each image in its upper left corner. Memory-mapped on the host."""
    extents: NDArray[np.integer]
    """Height and width in px of each image, shape (n, 2)."""
    classes: NDArray[np.integer]
    """Class number of each image, shape (n,)."""
    validation: NDArray[np.bool_]
    """Whether each image is for validation, shape (n,)."""
    names: tuple[str, ...]
    """Name of the downscaled image in each row."""
    labels: tuple[str, ...]
    """Name of each class, by its number."""

    @classmethod
    def open(cls, pixels: str | Path, manifest: str | Path, split: str | Path) -> "PackedImages":
        """Open the packed images, their manifest and a split, which have the same rows; test images are left out."""
        table, sides = read_table(manifest), read_table(split)
        packed = cls(
            # copy-on-write, because torch warns about read-only arrays; nothing is written to the file
            images=torch.from_numpy(np.load(pixels, mmap_mode="c")),
            extents=table[["height", "width"]].to_numpy(),
            classes=sides["class"].to_numpy(),
            validation=sides["validation"].to_numpy(),
            names=tuple(sides["image"]),
            labels=tuple(sides.drop_duplicates("class").sort_values("class")["label"]),
        )
        return packed.subset(np.flatnonzero(~sides["test"])) if sides["test"].any() else packed

    @property
    def training_rows(self) -> NDArray[np.intp]:
        """Rows of the training images."""
        return np.flatnonzero(~self.validation)

    @property
    def validation_rows(self) -> NDArray[np.intp]:
        """Rows of the validation images."""
        return np.flatnonzero(self.validation)

    def subset(self, rows: NDArray[np.intp]) -> Self:
        """Return the images of some rows."""
        names = tuple(np.array(self.names)[rows])
        images = self.images[torch.from_numpy(rows).to(self.images.device)]
        arrays = {name: getattr(self, name)[rows] for name in ("extents", "classes", "validation")}
        return replace(self, images=images, names=names, **arrays)

    def to(self, device: torch.device) -> Self:
        """Return the images on a device, or on the host, with a warning, if the device is too small."""
        return replace(self, images=self.images.to(_storage_device(device, self.images.numel(), "the packed images")))


@dataclass(frozen=True)
class ResizedImages:
    """All images of a dataset at one size."""

    images: Tensor
    """uint8, shape (n, 3, height, width); each image in the upper left corner. On the device, or on the
    host if the device is too small."""
    extents: Tensor
    """Height and width in px of each image, shape (n, 2)."""
    classes: Tensor
    """Class number of each image, shape (n,)."""
    size: int
    """Side in px of the square that is cropped from each image."""
    device: torch.device
    """Where batches are needed."""


def resize_images(
    packed: PackedImages, size: int, method: ResizeMethod, device: torch.device, upsample_to: int | None = None
) -> ResizedImages:
    """Resize all images of a dataset to one size, antialiased.

    Parameters
    ----------
    packed : PackedImages
        The stored images.
    size : int
        Side of the squares in px.
    method : {"crop", "squish", "pad"}
        Scale the shorter side to `size` and crop later, scale both sides, or scale the longer side
        and pad with black.
    device : torch.device
        Where the resized images are kept.
    upsample_to : int, optional
        Upsample the images of `size` to squares of this side, so that they are blurred.

    Returns
    -------
    ResizedImages
        Of `upsample_to` px if that is given, else of `size` px.
    """
    side = upsample_to or size
    targets = np.array([_target_extent(height, width, side, method) for height, width in packed.extents])
    canvas = (side, side) if method == "pad" else tuple(targets.max(0))
    storage = _storage_device(device, 3 * len(targets) * int(np.prod(canvas)), f"the images of {side} px")
    images = torch.zeros((len(targets), 3, *canvas), dtype=torch.uint8, device=storage)
    for extent in np.unique(packed.extents, axis=0):
        rows = np.flatnonzero((packed.extents == extent).all(1))
        height, width = map(int, targets[rows[0]])
        top, left = ((side - height) // 2, (side - width) // 2) if method == "pad" else (0, 0)
        small_height, small_width = _target_extent(int(extent[0]), int(extent[1]), size, method)
        for chunk in np.array_split(rows, -(-len(rows) // IMAGES_PER_CHUNK)):
            stored = packed.images[torch.from_numpy(chunk).to(packed.images.device), : extent[0], : extent[1]]
            small = resize_bilinear(stored.to(device).permute(0, 3, 1, 2), small_height, small_width)
            images[chunk, :, top : top + height, left : left + width] = (
                resize_bilinear(small, height, width) if upsample_to else small
            )
    extents = np.full_like(targets, side) if method == "pad" else targets
    return ResizedImages(images, _long(extents, storage), _long(packed.classes, storage), side, device)


def resize_bilinear(images: Tensor, height: int, width: int) -> Tensor:
    """Resize images as torchvision's ``v2.functional.resize`` does, whose import loads torch's compiler.

    Parameters
    ----------
    images : Tensor
        uint8, shape (n, 3, h, w).
    height, width : int
        The new extent in px.

    Returns
    -------
    Tensor
        uint8, shape (n, 3, height, width); identical to torchvision's, which a test checks.
    """
    if images.shape[2:] == (height, width):
        return images
    source = images if _has_uint8_kernel(images.device) else images.float()
    resized = F.interpolate(source, (height, width), mode="bilinear", align_corners=False, antialias=True)
    return resized if resized.dtype == torch.uint8 else resized.round_().byte()


def _has_uint8_kernel(device: torch.device) -> bool:
    """Tell whether torch has a vectorised kernel that resizes uint8 images without conversion to float."""
    capable = torch.backends.cpu.get_cpu_capability() in UINT8_CAPABILITIES or platform.machine() in UINT8_MACHINES
    return device.type == "cpu" and capable


def _storage_device(device: torch.device, n_bytes: int, what: str) -> torch.device:
    """Return where images are kept: on the device, if it has memory for them next to the model."""
    if torch_device.has_memory_for(device, n_bytes):
        return device
    log.warning(
        "%s (%.1f GB) do not fit on %s next to the model; they stay in host memory, and every batch is copied "
        "within the measured time",
        *(what, n_bytes / 1e9, torch_device.device_name(device)),
    )
    return torch.device("cpu")


def _target_extent(height: int, width: int, size: int, method: ResizeMethod) -> tuple[int, int]:
    """Return the height and width of an image after resizing, each at least 1 px."""
    if method == "squish":
        return size, size
    scale = size / (min if method == "crop" else max)(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _long(values: NDArray[np.integer], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)
