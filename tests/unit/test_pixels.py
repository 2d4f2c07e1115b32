import random

import numpy as np
import pytest
import torch
from PIL import Image

from entr import devices
from entr.pixels import Cuts, Draws, Pixels, Resized, loader, resized
from entr.regimes import Augmentation
from entr.views import Views

CPU = torch.device("cpu")
PLAIN = Augmentation(flip="none", max_rotate=0, max_zoom=1, max_warp=0, max_lighting=0)


def stored(shapes, side=60):
    """Images of several shapes: a gradient from left to right in red, from top to bottom in green."""
    images = np.zeros((len(shapes), side, side, 3), np.uint8)
    for row, (height, width) in enumerate(shapes):
        images[row, :height, :width, 0] = np.linspace(0, 255, width)
        images[row, :height, :width, 1] = np.linspace(0, 255, height)[:, None]
    count = len(shapes)
    names = tuple(map(str, range(count)))
    return Pixels(
        torch.from_numpy(images), np.array(shapes), np.arange(count) % 2, np.arange(count) % 3 == 0, names, ("a", "b")
    )


def test_images_are_reduced_without_aliasing():
    """As Pillow does, up to rounding: a checkerboard of single px becomes grey, not noise."""
    board = np.indices((60, 60)).sum(0) % 2 * 255
    pixels = stored([(60, 60)])
    pixels.images[0] = torch.from_numpy(board)[..., None]
    ours = resized(pixels, 20, "crop", CPU).images[0].permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.fromarray(pixels.images[0].numpy()).resize((20, 20), Image.Resampling.BILINEAR))
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert 100 < ours.min() <= ours.max() < 155


@pytest.mark.parametrize(("fit", "shape"), [("crop", (20, 40)), ("squish", (20, 20)), ("pad", (20, 20))])
def test_an_image_becomes_a_square_as_the_key_says(fit, shape):
    whole = resized(stored([(30, 60)]), 20, fit, CPU)
    assert tuple(whole.extents[0]) == shape
    cut, _ = Cuts(whole, np.array([0]), augmented=False).cut(torch.tensor([0]), Views.plain(1).corners)
    assert cut.shape == (1, 3, 20, 20)
    red = cut[0, 0, 10].numpy().astype(int)
    if fit == "crop":
        assert 60 < red[0] < red[-1] < 195  # the middle half of the gradient
    else:
        assert red[0] < 10
        assert red[-1] > 245
    black = (cut[0].sum(0) == 0).all(1).sum()
    assert black == (10 if fit == "pad" else 0)


def test_validation_cuts_the_centre_and_training_cuts_at_random():
    whole = resized(stored([(30, 60)] * 8), 20, "crop", CPU)
    cuts, rows = Cuts(whole, np.arange(8), augmented=True), torch.arange(8)
    centre, _ = cuts.cut(rows, Views.plain(8).corners)
    assert all(torch.equal(centre[0], other) for other in centre)
    torch.manual_seed(0)
    random, _ = cuts.cut(rows, Views.draw(PLAIN, 8).corners)
    starts = {int(cut[0, 10, 0]) for cut in random}
    assert len(starts) > 3
    assert all(torch.all(cut[0, 10].int().diff() >= 0) for cut in random)


def test_a_batch_is_normalised_and_its_labels_are_its_own():
    pixels = stored([(60, 60)] * 6)
    for row in range(6):
        pixels.images[row] = 40 * row
    whole = resized(pixels, 16, "crop", CPU)
    rows = np.array([5, 0, 3])
    ((images, classes),) = loader(Cuts(whole, rows, augmented=False), 8, PLAIN)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (torch.tensor(40.0 * rows)[:, None] / 255 - mean) / deviation
    assert torch.allclose(images.mean((2, 3)), expected.float(), atol=1e-5)
    assert classes.tolist() == [1, 0, 1]


def test_every_size_sees_the_same_order_and_the_same_random_numbers():
    """So that regimes differ in size alone [experiment, section 5]."""

    def epoch(size, shapes):
        torch.manual_seed(1)
        random.seed(1)
        cuts = Cuts(resized(stored(shapes), size, "crop", CPU), np.arange(8), augmented=True)
        batches = loader(cuts, 4, Augmentation(), shuffle=True)
        classes = [label for _, labels in batches for label in labels.tolist()]
        return classes, torch.rand(3).tolist()

    assert epoch(16, [(60, 60)] * 8) == epoch(32, [(60, 60)] * 8) == epoch(32, [(60, 40)] * 8)


def test_an_incomplete_batch_is_left_out_while_shuffling_only():
    whole = resized(stored([(60, 60)] * 7), 8, "crop", CPU)
    cuts = Cuts(whole, np.arange(7), augmented=False)
    assert [len(labels) for _, labels in loader(cuts, 3, PLAIN)] == [3, 3, 1]
    assert [len(labels) for _, labels in loader(cuts, 3, PLAIN, shuffle=True)] == [3, 3]
    assert [len(labels) for _, labels in loader(cuts, 64, PLAIN, shuffle=True)] == [7]


def test_opened_pixels_have_the_rows_of_manifest_and_split(dataset):
    pixels = Pixels.open(dataset / "pixels.npy", dataset / "manifest.csv", dataset / "split.csv")
    assert pixels.images.shape == (70, 64, 64, 3)
    assert pixels.validation.sum() == 14
    assert [pixels.labels[number] for number in pixels.classes] == [name.split("/")[0] for name in pixels.names]


@pytest.mark.parametrize("fit", ["crop", "squish", "pad"])
def test_enlarged_images_have_the_size_of_the_large_and_the_detail_of_the_small(fit):
    pixels = stored([(60, 60), (30, 60)])
    board = np.indices((60, 60)).sum(0) // 4 % 2 * 255
    pixels.images[0] = torch.from_numpy(board)[..., None]
    blurred, sharp = resized(pixels, 10, fit, CPU, enlarge_to=40), resized(pixels, 40, fit, CPU)
    assert blurred.images.shape == sharp.images.shape
    assert torch.equal(blurred.extents, sharp.extents)
    assert blurred.size == 40
    contrast = [one.images[0, 0, :40, :40].float().std() for one in (blurred, sharp)]
    assert contrast[0] < 0.3 * contrast[1]


def test_a_size_is_drawn_for_each_batch_and_counted():
    pixels = stored([(60, 60)] * 40)
    cuts = [Cuts(resized(pixels, size, "crop", CPU), np.arange(40), augmented=True) for size in (20, 30)]
    torch.manual_seed(0)
    draws = Draws(cuts)
    batches = loader(draws, 4, PLAIN, shuffle=True)
    sizes = [batch.shape[-1] for _ in range(3) for batch, _ in batches]
    assert set(sizes) == {20, 30}
    assert draws.seen == {size: 4 * sizes.count(size) for size in (20, 30)}


def test_images_that_a_device_has_no_room_for_stay_on_the_host_and_batches_go_to_it(monkeypatch, caplog):
    """`meta` stands for the GPU, which is not here: a device of torch's that holds shapes and no numbers."""
    monkeypatch.setattr(devices, "has_room", lambda *_: False)
    device = torch.device("meta")
    pixels = stored([(60, 60)] * 4).to(device)
    assert pixels.images.device == CPU
    assert "do not fit" in caplog.text
    assert "0.0 GB" in caplog.text
    whole = Resized(pixels.images.permute(0, 3, 1, 2), torch.full((4, 2), 60), torch.arange(4), 60, device)
    ((images, classes),) = loader(Cuts(whole, np.arange(4), augmented=True), 4, Augmentation(), shuffle=True)
    assert images.device == classes.device == device
    assert images.shape == (4, 3, 60, 60)
