import random

import numpy as np
import pytest
import torch
from packed import packed_gradients

from entr.config.training import Augmentation
from entr.config.training_plan import Batch
from entr.training.augmentation import AugmentationParams
from entr.training.batches import CropDataset, MixedSizeDataset, make_loader
from entr.training.resize import resize_images

CPU = torch.device("cpu")
PLAIN = Augmentation(flip="none", max_rotate=0, max_zoom=1, max_warp=0, max_lighting=0)


def test_validation_crops_the_centre_and_training_at_random():
    resized = resize_images(packed_gradients([(30, 60)] * 8), 20, "crop", CPU)
    crops, rows = CropDataset(resized, np.arange(8), augmented=True), torch.arange(8)
    batch = Batch(20, 8, 20)
    centre, _ = crops.crop(rows, AugmentationParams.identity(8).corners, batch)
    assert all(torch.equal(centre[0], other) for other in centre)
    torch.manual_seed(0)
    random, _ = crops.crop(rows, AugmentationParams.draw(PLAIN, 8).corners, batch)
    starts = {int(cut[0, 10, 0]) for cut in random}
    assert len(starts) > 3
    assert all(torch.all(cut[0, 10].int().diff() >= 0) for cut in random)


def test_batch_is_normalised_and_has_its_own_labels():
    packed = packed_gradients([(60, 60)] * 6)
    for row in range(6):
        packed.images[row] = 40 * row
    resized = resize_images(packed, 16, "crop", CPU)
    rows = np.array([5, 0, 3])
    ((images, classes),) = make_loader(CropDataset(resized, rows, augmented=False), 8, PLAIN)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (torch.tensor(40.0 * rows)[:, None] / 255 - mean) / deviation
    assert torch.allclose(images.mean((2, 3)), expected.float(), atol=1e-5)
    assert classes.tolist() == [1, 0, 1]


def test_all_sizes_share_the_order_and_the_random_numbers():
    """So that regimes differ in size only [experiment, section 5]."""

    def epoch(size, shapes):
        torch.manual_seed(1)
        random.seed(1)
        crops = CropDataset(resize_images(packed_gradients(shapes), size, "crop", CPU), np.arange(8), augmented=True)
        batches = make_loader(crops, 4, Augmentation(), shuffle=True)
        classes = [label for _, labels in batches for label in labels.tolist()]
        return classes, torch.rand(3).tolist()

    assert epoch(16, [(60, 60)] * 8) == epoch(32, [(60, 60)] * 8) == epoch(32, [(60, 40)] * 8)


def test_incomplete_batch_is_dropped_only_while_shuffling():
    resized = resize_images(packed_gradients([(60, 60)] * 7), 8, "crop", CPU)
    crops = CropDataset(resized, np.arange(7), augmented=False)
    assert [len(labels) for _, labels in make_loader(crops, 3, PLAIN)] == [3, 3, 1]
    assert [len(labels) for _, labels in make_loader(crops, 3, PLAIN, shuffle=True)] == [3, 3]
    assert [len(labels) for _, labels in make_loader(crops, 64, PLAIN, shuffle=True)] == [7]


def test_batches_have_the_planned_sizes_and_numbers_of_images():
    packed = packed_gradients([(60, 60)] * 40)
    crops = {
        size: CropDataset(resize_images(packed, size, "crop", CPU), np.arange(40), augmented=True) for size in (20, 30)
    }
    plan = [Batch(20, 9, 20), Batch(30, 4, 30), Batch(30, 1, 30)]
    batches = make_loader(MixedSizeDataset(crops), 4, PLAIN, shuffle=True, plan=plan)
    assert [tuple(images.shape) for images, _ in batches] == [(9, 3, 20, 20), (4, 3, 30, 30), (1, 3, 30, 30)]
    assert len(batches) == 3


def test_batches_of_a_ramp_are_downscaled_from_the_stored_images():
    resized = resize_images(packed_gradients([(60, 60)] * 8), 30, "crop", CPU)
    crops = CropDataset(resized, np.arange(8), augmented=False)
    batches = make_loader(crops, 4, PLAIN, plan=[Batch(20, 4, 30), Batch(30, 4, 30)])
    (small, _), (large, _) = batches
    assert (small.shape[-1], large.shape[-1]) == (20, 30)
    smaller = torch.nn.functional.interpolate(large, (20, 20), mode="bilinear", antialias=True)
    # rounded to 8 bits
    assert torch.allclose(small, smaller, atol=2 / 255 / 0.2)


def test_parts_of_a_batch_have_all_its_images():
    resized = resize_images(packed_gradients([(60, 60)] * 30), 8, "crop", CPU)
    crops = CropDataset(resized, np.arange(30), augmented=False)
    batches = make_loader(crops, 16, PLAIN, shuffle=True, n_parts=3, plan=[Batch(8, 16, 8), Batch(8, 9, 8)])
    assert [len(labels) for _, labels in batches] == [6, 5, 5, 3, 3, 3]
    assert len(batches) == 6


@pytest.mark.parametrize(("n_parts", "parts"), [(10, [7, 7, 7, 7, 6, 6, 6, 6, 6, 6]), (64, [2] * 32)])
def test_parts_of_a_batch_have_at_least_two_images(n_parts, parts):
    resized = resize_images(packed_gradients([(60, 60)] * 64), 8, "crop", CPU)
    batches = make_loader(CropDataset.of(resized, augmented=False), 64, PLAIN, n_parts=n_parts)
    assert [len(labels) for _, labels in batches] == parts


def test_crops_are_requested_where_the_images_of_that_size_are_kept():
    class Kept:
        """Images of a size, on a device without memory, in place of the GPU that this machine may lack."""

        rows, augmented, device = np.arange(2), True, torch.device("cpu")

        def __init__(self, size, storage):
            self.size, self.storage = size, torch.device(storage)

        def crop(self, rows, corners, _):
            return rows.device.type, corners.device.type

    mixed = MixedSizeDataset({150: Kept(150, "meta"), 250: Kept(250, "cpu")})
    rows, corners = torch.zeros(2, dtype=torch.long), torch.zeros(2, 2)
    assert mixed.crop(rows, corners, Batch(150, 2, 150)) == ("meta", "meta")
    assert mixed.crop(rows, corners, Batch(250, 2, 250)) == ("cpu", "cpu")
