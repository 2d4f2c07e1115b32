"""Batches of device-resident images: an index, a crop and augmentation; no decoding, workers or copies.

The images of a dataset are one array, moved to the device once, and resized when the image size changes. A batch is
an index into the resized images, a crop, and the augmentation that was drawn for the epoch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from fastai.data.load import DataLoader
from fastai.vision.core import imagenet_stats
from numpy.typing import NDArray
from torch import Tensor

from entr.config.training import Augmentation
from entr.config.training_plan import Batch, micro_batch_sizes
from entr.training.augmentation import AugmentationParams
from entr.training.resize import ResizedImages, resize_bilinear

Statistics = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation per channel."""

IMAGES_IN_CPU_CACHE = 4
"""Images that a CPU augments together: two thirds of the time of a whole batch at 250 px."""


class ImageDataset(Protocol):
    """Squares and class numbers of some images, as `DeviceLoader` needs them."""

    @property
    def rows(self) -> NDArray[np.intp]:
        """Rows of the images in this dataset."""

    @property
    def augmented(self) -> bool:
        """Whether the images are augmented."""

    @property
    def device(self) -> torch.device:
        """Where batches are needed."""

    @property
    def storage(self) -> torch.device:
        """Where the images are kept."""

    @property
    def size(self) -> int:
        """Side in px of the squares, unless a batch has another size."""

    def __len__(self) -> int: ...

    def crop(self, rows: Tensor, corners: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return squares of some images, and their class numbers, on the device."""


@dataclass(frozen=True)
class CropDataset:
    """Squares cropped from resized images."""

    resized: ResizedImages
    rows: NDArray[np.intp]
    augmented: bool

    @classmethod
    def of(cls, resized: ResizedImages, *, augmented: bool) -> Self:
        """Return squares of all images."""
        return cls(resized, np.arange(len(resized)), augmented)

    @property
    def device(self) -> torch.device:
        """Where batches are needed."""
        return self.resized.device

    @property
    def storage(self) -> torch.device:
        """Where the images are kept."""
        return self.resized.pixels.device

    @property
    def size(self) -> int:
        """Side in px of the squares, unless a batch has another size."""
        return self.resized.size

    def __len__(self) -> int:
        return len(self.rows)

    def crop(self, rows: Tensor, corners: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return squares of some images, and their class numbers, on the device.

        Parameters
        ----------
        rows : Tensor
            Rows of the images, int64 of shape (b,), where the images are kept.
        corners : Tensor
            Upper left corner of each square as a fraction of the free room, as in
            `AugmentationParams`, where the images are kept.
        batch : Batch
            Its size is that to which the squares are downscaled, if the resized images are larger.

        Returns
        -------
        squares : Tensor
            uint8, shape (b, 3, size, size).
        classes : Tensor
            int64, shape (b,).
        """
        squares = resize_bilinear(self.resized.crop(rows, corners).to(self.device), batch.size, batch.size)
        return squares, self.resized.classes[rows].to(self.device)


class MixedSizeDataset:
    """Squares whose size differs between batches.

    Parameters
    ----------
    datasets : mapping of int to CropDataset
        The same images by the side in px to which they are downscaled.
    """

    def __init__(self, datasets: Mapping[int, CropDataset]) -> None:
        self.datasets = datasets
        largest = datasets[max(datasets)]
        self.rows, self.augmented, self.size = largest.rows, largest.augmented, largest.size
        self.device, self.storage = largest.device, largest.storage

    def __len__(self) -> int:
        return len(self.rows)

    def crop(self, rows: Tensor, corners: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return squares and class numbers, as `CropDataset.crop` does."""
        dataset = self.datasets[batch.stored]
        # larger images may be in host memory while smaller ones fit on the device
        return dataset.crop(rows.to(dataset.storage), corners.to(dataset.storage), batch)


class DeviceLoader(DataLoader):
    """fastai's data loader, with each batch taken from the device at once.

    Augmentation is drawn, and moved to the device, for a whole epoch when it begins.

    Parameters
    ----------
    dataset : ImageDataset
        The images.
    batch_size : int
        Images per batch.
    augmentation : Augmentation
        The random changes to images of an augmented dataset.
    statistics : tuple
        Mean and standard deviation per channel by which images are normalised.
    shuffle : bool
        Draw a new order each epoch. A last, incomplete batch is dropped then: a batch of one would
        break BatchNorm.
    n_parts : int
        Parts into which each batch is divided, for gradient accumulation.
    plan : sequence of Batch, optional
        The batches of the next epoch; by default, as many of `batch_size` images as there are.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        batch_size: int,
        augmentation: Augmentation,
        statistics: Statistics,
        *,
        shuffle: bool = False,
        n_parts: int = 1,
        plan: Sequence[Batch] | None = None,
        **kwargs: Any,  # noqa: ANN401  fastai passes its own when it makes a similar loader
    ) -> None:
        size = min(batch_size, len(dataset))
        super().__init__(
            dataset, bs=size, shuffle=shuffle, drop_last=shuffle, indexed=True, device=dataset.device, **kwargs
        )
        self.augmentation, self.n_parts, self.plan = augmentation, min(n_parts, size), plan
        mean, std = (torch.tensor(values, device=dataset.device)[:, None, None] for values in statistics)
        self.scale, self.shift = 1 / std, -mean / std

    def create_batches(self, samples: Iterable[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised images, float32 of shape (b, 3, size, size), and class numbers."""
        data = self.dataset
        order = data.rows[list(samples)]
        drawn = AugmentationParams.draw(self.augmentation, len(order)) if data.augmented else None
        on_host = drawn or AugmentationParams.identity(len(order))
        params, corners = on_host.to(data.device), on_host.corners.to(data.storage)
        rows = torch.from_numpy(order).to(data.storage)
        begin = 0
        for batch in self.batches:
            for part in self._parts(batch):
                which = slice(begin, begin + part)
                squares, classes = data.crop(rows[which], corners[which], batch)
                yield self._augment_and_normalise(squares, params[which]), classes
                begin += part

    @property
    def batches(self) -> Sequence[Batch]:
        """The batches of an epoch."""
        if self.plan is not None:
            return self.plan
        full, rest = divmod(len(self.dataset), self.bs)
        counts = [self.bs] * full + [rest] * (rest > 0 and not self.drop_last)
        return [Batch(self.dataset.size, count, self.dataset.size) for count in counts]

    def _parts(self, batch: Batch) -> list[int]:
        """Return the number of images in each part of a batch."""
        return micro_batch_sizes(batch.images, self.n_parts)

    def _augment_and_normalise(self, squares: Tensor, params: AugmentationParams) -> Tensor:
        """Return augmented, normalised images in the memory layout that convolutions prefer."""
        images = torch.empty(squares.shape, device=squares.device, memory_format=torch.channels_last)
        n_together = IMAGES_IN_CPU_CACHE if squares.device.type == "cpu" else len(squares)
        for begin in range(0, len(squares), n_together):
            some = slice(begin, begin + n_together)
            # normalised and laid out in one pass
            torch.addcmul(self.shift, params[some].apply(squares[some]), self.scale, out=images[some])
        return images

    def __len__(self) -> int:
        """Return the number of batches, or of their parts."""
        return sum(len(self._parts(batch)) for batch in self.batches)


def make_loader(
    dataset: ImageDataset,
    batch_size: int,
    augmentation: Augmentation,
    *,
    statistics: Statistics = imagenet_stats,
    shuffle: bool = False,
    n_parts: int = 1,
    plan: Sequence[Batch] | None = None,
) -> DeviceLoader:
    """Return a loader of normalised images, by default with the statistics of ImageNet; see `DeviceLoader`."""
    return DeviceLoader(dataset, batch_size, augmentation, statistics, shuffle=shuffle, n_parts=n_parts, plan=plan)
