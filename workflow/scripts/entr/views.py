"""Random views of images: fastai's augmentation, drawn for a whole epoch and computed in one pass.

fastai applies its batch transforms one by one, through tensor classes of its own; beside the frozen
body of a small network that costs a sixth of the time, and on a GPU it waits for the device in each
batch. The numbers are drawn here by fastai's own functions, on the processor, so that they do not
depend on the device; all changes of place of an image are one homography, all changes of light one
line in logit space, and their result is fastai's up to rounding.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812  torch's own name for it
from fastai.vision.augment import AffineCoordTfm, LightingTfm, aug_transforms, find_coeffs
from torch import Tensor

from entr.regimes import Augmentation

LOGIT_EPSILON = 1e-7
"""fastai's; keeps black and white finite in logit space."""


@dataclass(frozen=True)
class Views:
    """How each of `n` images is seen: where it is cut, from where it is looked at, and in what light."""

    corners: Tensor
    """Upper left corner of the cut, as a share of the room there is, shape (n, 2): vertical, horizontal."""
    homographies: Tensor | None = None
    """From places in the view to places in the image, both in [-1, 1], shape (n, 3, 3); none for the image as it is."""
    light: Tensor | None = None
    """Offset and slope of a line in logit space, shape (n, 2); none for the light as it is."""

    @classmethod
    def plain(cls, count: int) -> Self:
        """Return views of the centre, with nothing changed."""
        return cls(torch.full((count, 2), 0.5))

    @classmethod
    def draw(cls, augmentation: Augmentation, count: int) -> Self:
        """Draw views from torch's and Python's random numbers of the processor."""
        # cuts are drawn for square images too, so that every size sees the same random numbers
        corners = torch.rand(count, 2)
        transforms = aug_transforms(
            do_flip=augmentation.flip != "none",
            flip_vert=augmentation.flip == "dihedral",
            max_rotate=augmentation.max_rotate,
            max_zoom=augmentation.max_zoom,
            max_warp=augmentation.max_warp,
            max_lighting=augmentation.max_lighting,
        )
        images = torch.empty(count, 1, 1, 1)  # fastai's functions ask for their number and type alone
        parts = {"homographies": None, "light": None}
        for transform in transforms:
            transform.before_call(images, split_idx=0)
            if isinstance(transform, AffineCoordTfm):
                parts["homographies"] = _homographies(transform)
            elif isinstance(transform, LightingTfm):
                parts["light"] = _lines(transform, count)
        return cls(corners, **parts)

    def to(self, device: torch.device) -> Self:
        """Return the same views on a device."""
        return type(self)(*(part if part is None else part.to(device) for part in self._parts()))

    def __getitem__(self, which: slice) -> Self:
        """Return some of the views."""
        return type(self)(*(part if part is None else part[which] for part in self._parts()))

    def __len__(self) -> int:
        return len(self.corners)

    def _parts(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        return self.corners, self.homographies, self.light

    def of(self, squares: Tensor) -> Tensor:
        """Show images as these views do, after they are cut.

        Parameters
        ----------
        squares : Tensor
            uint8, shape (n, 3, size, size).

        Returns
        -------
        Tensor
            float32 in [0, 1], of the same shape.
        """
        shown = squares.float().div_(255)
        if self.homographies is not None:
            places = _places(self.homographies, squares.shape[-1])
            shown = F.grid_sample(shown, places, mode="bilinear", padding_mode="reflection", align_corners=True)
        if self.light is not None:
            offset, slope = self.light[:, :, None, None, None].unbind(1)
            shown.logit_(LOGIT_EPSILON).mul_(slope).add_(offset).sigmoid_()
        return shown


def _places(homographies: Tensor, side: int) -> Tensor:
    """Return where each pixel of a view lies in its image, shape (n, side, side, 2): horizontal, vertical."""
    line = torch.linspace(-1, 1, side, device=homographies.device)
    # all three coordinates are linear in both directions: a row and a column of numbers, added
    along = (homographies[:, :, :1] * line)[:, :, None, :]
    down = (homographies[:, :, 1:2] * line + homographies[:, :, 2:])[:, :, :, None]
    depth = along[:, 2:] + down[:, 2:]
    return (along[:, :2] + down[:, :2]).div_(depth).permute(0, 2, 3, 1)


def _homographies(transform: AffineCoordTfm) -> Tensor:
    """Return what fastai has drawn for flips, rotation, zoom and warp as one matrix an image."""
    affine = torch.as_tensor(transform.mat)
    last = torch.tensor([0.0, 0, 1]).expand(len(affine), 1, 3)
    matrices = torch.cat([affine.as_subclass(Tensor), last], 1)
    for warp in transform.coord_fs:
        solved = find_coeffs(warp.orig_pts, warp.targ_pts).as_subclass(Tensor)[..., 0]
        matrices = torch.cat([solved, torch.ones(len(solved), 1)], 1).view(-1, 3, 3) @ matrices
    return matrices


def _lines(transform: LightingTfm, count: int) -> Tensor:
    """Return what fastai has drawn for brightness and contrast as one line an image."""
    at_zero, at_one = torch.zeros(count, 1, 1, 1), torch.ones(count, 1, 1, 1)
    for change in transform.fs:
        at_zero, at_one = change(at_zero), change(at_one)
    return torch.cat([at_zero.flatten(1), (at_one - at_zero).flatten(1)], 1).as_subclass(Tensor)
