"""The packed images of a dataset, and resizing all of them to one size on the device."""

import logging
import mmap
import platform
import zipfile
from collections.abc import Iterator
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
from entr.jobs.tables import damaged_file, read_columns

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
        """Open the packed images, their manifest and a split, which have the same rows; test images are left out.

        Raises
        ------
        EntrError
            If a file is damaged, or if they are not of the same images.
        """
        table = read_columns(manifest, image=str, height=int, width=int)
        sides = read_columns(split, image=str, label=str, validation=bool, test=bool, **{"class": int})
        images, extents = _open_pixels(pixels), table[["height", "width"]].to_numpy()
        if not len(images) == len(table) == len(sides) or (table["image"] != sides["image"]).any():
            raise damaged_file(manifest, f"its images are not those of {pixels} and {split}")
        if extents.min() < 1 or (extents > images.shape[1:3]).any():
            raise damaged_file(manifest, f"an image has another size than in {pixels}")
        numbers = sides.groupby("class")["label"].nunique()
        if list(numbers.index) != list(range(len(numbers))) or numbers.max() > 1:
            raise damaged_file(split, "its numbers of classes do not match the labels")
        packed = cls(
            images=torch.from_numpy(images),
            extents=extents,
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
        storage = _storage_device(device, self.images.numel(), "the packed images")
        images = self.images.to(storage)
        if storage.type == "cpu":
            # read now, so that the first resizing, which is timed, does not wait for the disk
            images.flatten()[:: mmap.PAGESIZE].sum()
        return replace(self, images=images)


def _open_pixels(path: str | Path) -> NDArray[np.uint8]:
    """Open packed images, uint8 of shape (n, height, width, 3), without reading them."""
    try:
        # copy-on-write, because torch warns about read-only arrays; nothing is written to the file
        images = np.load(path, mmap_mode="c")
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise damaged_file(path, error) from error
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise damaged_file(path, "it does not contain RGB images")
    return images


@dataclass(frozen=True)
class ResizedImages:
    """Images of a dataset at one size, each with its own height and width.

    They are stored one after another, because a single panorama would otherwise determine the memory
    of all images.
    """

    pixels: Tensor
    """uint8, shape (pixels of all images, 3), row by row. On the device, or on the host if the device is too small."""
    begins: Tensor
    """Index of the first pixel of each image, int64 of shape (n,)."""
    extents: Tensor
    """Height and width in px of each image, int64 of shape (n, 2)."""
    classes: Tensor
    """Class number of each image, int64 of shape (n,)."""
    size: int
    """Side in px of the square that is cropped from each image."""
    device: torch.device
    """Where batches are needed."""

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def are_square(self) -> bool:
        """Whether all images are squares of `size`; otherwise at least one of them is larger."""
        return len(self.pixels) == len(self) * self.size**2

    def crop(self, rows: Tensor, corners: Tensor) -> Tensor:
        """Return squares of some images, uint8 of shape (b, 3, size, size), where the images are kept.

        Parameters
        ----------
        rows : Tensor
            Rows of the images, int64 of shape (b,).
        corners : Tensor
            Upper left corner of each square as a fraction of the free room, shape (b, 2): vertical, horizontal.
        """
        begins, side = self.begins[rows], self.size
        if self.are_square:
            squares = self.pixels.view(-1, side, side, 3).index_select(0, begins // side**2)
            return squares.permute(0, 3, 1, 2)
        extents, line = self.extents[rows], torch.arange(side, device=rows.device)
        top, left = ((extents - side) * corners).round().long().unbind(1)
        width = extents[:, 1]
        first_pixels = (begins + top * width + left)[:, None] + width[:, None] * line
        indices = first_pixels[:, :, None] + line
        squares = self.pixels.index_select(0, indices.view(-1)).view(*indices.shape, 3)
        return squares.permute(0, 3, 1, 2)


def resize_images(
    packed: PackedImages,
    size: int,
    method: ResizeMethod,
    device: torch.device,
    upsample_to: int | None = None,
    rows: NDArray[np.intp] | None = None,
) -> ResizedImages:
    """Resize images of a dataset to one size, antialiased.

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
    rows : array of int, optional
        Rows of the images; by default all.

    Returns
    -------
    ResizedImages
        Of `upsample_to` px if that is given, else of `size` px; in the order of `rows`.
    """
    rows = np.arange(len(packed.extents)) if rows is None else rows
    side = upsample_to or size
    extents = np.array([_stored_extent(height, width, side, method) for height, width in packed.extents[rows]])
    areas, begins = extents.prod(1), np.empty(len(rows), np.int64)
    storage = _storage_device(device, 3 * int(areas.sum()), f"the images of {side} px")
    pixels, end = torch.empty((int(areas.sum()), 3), dtype=torch.uint8, device=storage), 0
    # images of one extent are neighbours, so that several are written at once
    for chunk in _chunks_of_equal_extent(packed.extents[rows]):
        height, width = map(int, packed.extents[rows[chunk[0]]])
        stored = packed.images[torch.from_numpy(rows[chunk]).to(packed.images.device), :height, :width]
        resized = _resize_chunk(stored.to(device).permute(0, 3, 1, 2), size, side, method)
        begins[chunk] = end + areas[chunk[0]] * np.arange(len(chunk))
        begin, end = end, end + int(areas[chunk].sum())
        pixels[begin:end].view(len(chunk), *resized.shape[2:], 3).copy_(resized.permute(0, 2, 3, 1))
    return ResizedImages(
        pixels, _long(begins, storage), _long(extents, storage), _long(packed.classes[rows], storage), side, device
    )


def _chunks_of_equal_extent(extents: NDArray[np.integer]) -> Iterator[NDArray[np.intp]]:
    """Yield the positions of images that are resized together."""
    for extent in np.unique(extents, axis=0):
        positions = np.flatnonzero((extents == extent).all(1))
        yield from np.array_split(positions, -(-len(positions) // IMAGES_PER_CHUNK))


def _resize_chunk(images: Tensor, size: int, side: int, method: ResizeMethod) -> Tensor:
    """Resize images of equal extent to `size`, upsample them to `side`, and pad them if the method is to pad."""
    height, width = images.shape[2:]
    resized = resize_bilinear(images, *_target_extent(height, width, size, method))
    if side != size:
        resized = resize_bilinear(resized, *_target_extent(height, width, side, method))
    if method != "pad":
        return resized
    height, width = resized.shape[2:]
    top, left = (side - height) // 2, (side - width) // 2
    return F.pad(resized, (left, side - width - left, top, side - height - top))


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
        "%s (%.1f GB) do not fit on %s next to the model; they stay in host memory, and every batch is copied to the "
        "device",
        *(what, n_bytes / 1e9, torch_device.device_name(device)),
    )
    return torch.device("cpu")


def _target_extent(height: int, width: int, size: int, method: ResizeMethod) -> tuple[int, int]:
    """Return the height and width of an image after resizing, each at least 1 px."""
    if method == "squish":
        return size, size
    scale = size / (min if method == "crop" else max)(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _stored_extent(height: int, width: int, size: int, method: ResizeMethod) -> tuple[int, int]:
    """Return the height and width of an image after resizing and padding."""
    return (size, size) if method == "pad" else _target_extent(height, width, size, method)


def _long(values: NDArray[np.integer], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)
