import random

import pytest
import torch
from fastai.data.transforms import IntToFloatTensor
from fastai.torch_core import TensorImage
from fastai.vision.augment import aug_transforms
from fasttransform.transform import Pipeline

from entr.config.training import Augmentation
from entr.training.augmentation import AugmentationParams

STRONG = {"max_rotate": 30, "max_zoom": 1.5, "max_warp": 0.3, "max_lighting": 0.4}


@pytest.fixture
def squares():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(12, 3, 7, 7, generator=generator)
    return (255 * torch.nn.functional.interpolate(coarse, (45, 45), mode="bilinear")).byte()


def seed():
    torch.manual_seed(3)
    random.seed(3)


@pytest.mark.parametrize("flip", ["none", "horizontal", "dihedral"])
@pytest.mark.parametrize("without", [[], ["max_rotate"], ["max_zoom"], ["max_warp"], ["max_lighting"], list(STRONG)])
def test_augmentation_equals_fastai_for_the_same_random_numbers(squares, flip, without):
    neutral = {name: 1 if name == "max_zoom" else 0 for name in without}
    augmentation = Augmentation(flip=flip, **{**STRONG, **neutral})
    transforms = aug_transforms(
        do_flip=flip != "none", flip_vert=flip == "dihedral", min_zoom=1, **augmentation.model_dump(exclude={"flip"})
    )
    seed()
    corners = torch.rand(12, 2)
    theirs = Pipeline([IntToFloatTensor(), *transforms], split_idx=0)(TensorImage(squares)).as_subclass(torch.Tensor)
    seed()
    params = AugmentationParams.draw(augmentation, 12)
    assert torch.equal(params.corners, corners)
    assert torch.allclose(params.apply(squares), theirs, atol=2e-4)


def test_identity_returns_the_image(squares):
    assert torch.allclose(AugmentationParams.identity(12).apply(squares) * 255, squares.float(), atol=1e-4)


def test_slice_of_parameters_belongs_to_the_same_images(squares):
    seed()
    params = AugmentationParams.draw(Augmentation(**STRONG), 12)
    assert len(params[3:7]) == 4
    assert torch.allclose(params[3:7].apply(squares[3:7]), params.apply(squares)[3:7], atol=1e-5)
    assert not torch.allclose(params[3:7].apply(squares[3:7]), params.apply(squares)[2:6], atol=1e-2)


def test_black_and_white_stay_finite_under_strong_lighting():
    squares = torch.tensor([0, 255], dtype=torch.uint8).repeat(3).view(1, 3, 2, 1).expand(40, 3, 2, 2)
    images = AugmentationParams.draw(Augmentation(max_lighting=0.9), 40).apply(squares)
    assert images.isfinite().all()
    assert images.min() >= 0
    assert images.max() <= 1
