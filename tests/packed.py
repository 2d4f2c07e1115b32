"""Packed images of simple content."""

import numpy as np
import torch

from entr.training.resize import PackedImages


def packed_gradients(shapes, side=60):
    """Return images of several shapes: a horizontal gradient in red, a vertical one in green."""
    images = np.zeros((len(shapes), side, side, 3), np.uint8)
    for row, (height, width) in enumerate(shapes):
        images[row, :height, :width, 0] = np.linspace(0, 255, width)
        images[row, :height, :width, 1] = np.linspace(0, 255, height)[:, None]
    count = len(shapes)
    names = tuple(map(str, range(count)))
    return PackedImages(
        torch.from_numpy(images), np.array(shapes), np.arange(count) % 2, np.arange(count) % 3 == 0, names, ("a", "b")
    )
