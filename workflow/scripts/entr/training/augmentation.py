"""Augmentation: fastai's random transforms, drawn for a whole epoch and computed in one pass.

fastai applies its batch transforms one by one, through tensor subclasses; next to the frozen body of a
small model that costs a sixth of the time, and on a GPU it waits for the device in each batch. Here the
parameters are drawn by fastai's own functions, on the CPU, so that they do not depend on the device. All
affine and perspective transforms of an image are one homography, all lighting transforms one linear
function in logit space, and the result equals fastai's up to rounding.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812  torch's own name for it
from fastai.vision.augment import AffineCoordTfm, LightingTfm, aug_transforms, find_coeffs
from torch import Tensor

from entr.config.training import Augmentation

LOGIT_EPSILON = 1e-7
"""fastai's value; it keeps black and white finite in logit space."""


@dataclass(frozen=True)
class AugmentationParams:
    """Random crop, affine transform and lighting of each of n images."""

    corners: Tensor
    """Upper left corner of the crop, as a fraction of the free room, shape (n, 2): vertical, horizontal."""
    homographies: Tensor | None = None
    """From output to input coordinates, both in [-1, 1], shape (n, 3, 3); None for the identity."""
    lighting: Tensor | None = None
    """Offset and slope in logit space, shape (n, 2); None for the identity."""

    @classmethod
    def identity(cls, count: int) -> Self:
        """Return parameters of centre crops without any other change."""
        return cls(torch.full((count, 2), 0.5))

    @classmethod
    def draw(cls, augmentation: Augmentation, count: int) -> Self:
        """Draw parameters from the CPU generators of torch and Python."""
        # crops are drawn for square images too, so that all sizes share the same random numbers
        corners = torch.rand(count, 2)
        transforms = aug_transforms(
            do_flip=augmentation.flip != "none",
            flip_vert=augmentation.flip == "dihedral",
            max_rotate=augmentation.max_rotate,
            max_zoom=augmentation.max_zoom,
            max_warp=augmentation.max_warp,
            max_lighting=augmentation.max_lighting,
        )
        probe = torch.empty(count, 1, 1, 1)  # fastai's functions use its length and type only
        parts = {"homographies": None, "lighting": None}
        for transform in transforms:
            transform.before_call(probe, split_idx=0)
            if isinstance(transform, AffineCoordTfm):
                parts["homographies"] = _homographies(transform)
            elif isinstance(transform, LightingTfm):
                parts["lighting"] = _lighting_lines(transform, count)
        return cls(corners, **parts)

    def to(self, device: torch.device) -> Self:
        """Return the same parameters on a device."""
        return type(self)(*(part if part is None else part.to(device) for part in self._parts()))

    def __getitem__(self, which: slice) -> Self:
        """Return the parameters of some images."""
        return type(self)(*(part if part is None else part[which] for part in self._parts()))

    def __len__(self) -> int:
        return len(self.corners)

    def _parts(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        return self.corners, self.homographies, self.lighting

    def apply(self, squares: Tensor) -> Tensor:
        """Transform images after they are cropped.

        Parameters
        ----------
        squares : Tensor
            uint8, shape (n, 3, size, size).

        Returns
        -------
        Tensor
            float32 in [0, 1], of the same shape.
        """
        images = squares.float().div_(255)
        if self.homographies is not None:
            grid = _sampling_grid(self.homographies, squares.shape[-1])
            images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
        if self.lighting is not None:
            offset, slope = self.lighting[:, :, None, None, None].unbind(1)
            images.logit_(LOGIT_EPSILON).mul_(slope).add_(offset).sigmoid_()
        return images


def _sampling_grid(homographies: Tensor, side: int) -> Tensor:
    """Return the input coordinates of each output pixel, shape (n, side, side, 2): horizontal, vertical."""
    line = torch.linspace(-1, 1, side, device=homographies.device)
    # all three homogeneous coordinates are linear in both directions: the sum of a row and a column
    along = (homographies[:, :, :1] * line)[:, :, None, :]
    down = (homographies[:, :, 1:2] * line + homographies[:, :, 2:])[:, :, :, None]
    depth = along[:, 2:] + down[:, 2:]
    return (along[:, :2] + down[:, :2]).div_(depth).permute(0, 2, 3, 1)


def _homographies(transform: AffineCoordTfm) -> Tensor:
    """Return the flips, rotation, zoom and warp that fastai has drawn as one matrix per image."""
    affine = torch.as_tensor(transform.mat)
    last = torch.tensor([0.0, 0, 1]).expand(len(affine), 1, 3)
    matrices = torch.cat([affine.as_subclass(Tensor), last], 1)
    for warp in transform.coord_fs:
        solved = find_coeffs(warp.orig_pts, warp.targ_pts).as_subclass(Tensor)[..., 0]
        matrices = torch.cat([solved, torch.ones(len(solved), 1)], 1).view(-1, 3, 3) @ matrices
    return matrices


def _lighting_lines(transform: LightingTfm, count: int) -> Tensor:
    """Return the brightness and contrast that fastai has drawn as one linear function per image."""
    at_zero, at_one = torch.zeros(count, 1, 1, 1), torch.ones(count, 1, 1, 1)
    for change in transform.fs:
        at_zero, at_one = change(at_zero), change(at_one)
    return torch.cat([at_zero.flatten(1), (at_one - at_zero).flatten(1)], 1).as_subclass(Tensor)
