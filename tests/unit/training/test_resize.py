import numpy as np
import pytest
import torch
from packed import packed_gradients
from PIL import Image
from torchvision.transforms.v2 import functional

from entr.config.training import Augmentation
from entr.config.training_plan import Batch
from entr.devices import torch_device
from entr.jobs.errors import EntrError
from entr.jobs.tables import read_table, write_table
from entr.training.augmentation import AugmentationParams
from entr.training.batches import CropDataset, make_loader
from entr.training.resize import PackedImages, ResizedImages, resize_bilinear, resize_images

CPU = torch.device("cpu")


def test_images_are_resized_without_aliasing():
    """As Pillow does, up to rounding: a checkerboard of single px becomes grey, not noise."""
    board = np.indices((60, 60)).sum(0) % 2 * 255
    packed = packed_gradients([(60, 60)])
    packed.images[0] = torch.from_numpy(board)[..., None]
    ours = resize_images(packed, 20, "crop", CPU).pixels.view(20, 20, 3).numpy()
    theirs = np.asarray(Image.fromarray(packed.images[0].numpy()).resize((20, 20), Image.Resampling.BILINEAR))
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert 100 < ours.min() <= ours.max() < 155


@pytest.mark.parametrize(("method", "shape"), [("crop", (20, 40)), ("squish", (20, 20)), ("pad", (20, 20))])
def test_resize_method_makes_squares(method, shape):
    resized = resize_images(packed_gradients([(30, 60)]), 20, method, CPU)
    assert tuple(resized.extents[0]) == shape
    cut, _ = CropDataset(resized, np.array([0]), augmented=False).crop(
        torch.tensor([0]), AugmentationParams.identity(1).corners, Batch(size=20, images=1, stored=20)
    )
    assert cut.shape == (1, 3, 20, 20)
    red = cut[0, 0, 10].numpy().astype(int)
    if method == "crop":
        assert 60 < red[0] < red[-1] < 195  # the middle half of the gradient
    else:
        assert red[0] < 10
        assert red[-1] > 245
    black = (cut[0].sum(0) == 0).all(1).sum()
    assert black == (10 if method == "pad" else 0)


def test_packed_images_have_the_rows_of_manifest_and_split(dataset):
    packed = PackedImages.open(dataset / "pixels.npy", dataset / "manifest.csv", dataset / "split.csv")
    assert packed.images.shape == (70, 64, 64, 3)
    assert packed.validation.sum() == 14
    assert [packed.labels[number] for number in packed.classes] == [name.split("/")[0] for name in packed.names]


@pytest.mark.parametrize("method", ["crop", "squish", "pad"])
def test_upsampled_images_have_the_size_of_the_large_and_the_detail_of_the_small(method):
    packed = packed_gradients([(60, 60), (30, 60)])
    board = np.indices((60, 60)).sum(0) // 4 % 2 * 255
    packed.images[0] = torch.from_numpy(board)[..., None]
    blurred, sharp = resize_images(packed, 10, method, CPU, upsample_to=40), resize_images(packed, 40, method, CPU)
    assert blurred.pixels.shape == sharp.pixels.shape
    assert torch.equal(blurred.extents, sharp.extents)
    assert blurred.size == 40
    first = [one.pixels[one.begins[0] :][: 40 * 40] for one in (blurred, sharp)]
    contrast = [pixels[:, 0].float().std() for pixels in first]
    assert contrast[0] < 0.3 * contrast[1]


def test_images_that_do_not_fit_on_the_device_stay_on_the_host_and_batches_are_copied(monkeypatch, caplog):
    """The device `meta` of torch, which has shapes but no values, stands for the GPU that is missing here."""
    monkeypatch.setattr(torch_device, "has_memory_for", lambda *_: False)
    device = torch.device("meta")
    packed = packed_gradients([(60, 60)] * 4).to(device)
    assert packed.images.device == CPU
    assert "do not fit" in caplog.text
    assert "0.0 GB" in caplog.text
    pixels, extents = packed.images.reshape(-1, 3), torch.full((4, 2), 60)
    resized = ResizedImages(pixels, 60 * 60 * torch.arange(4), extents, torch.arange(4), 60, device)
    ((images, classes),) = make_loader(
        CropDataset(resized, np.arange(4), augmented=True), 4, Augmentation(), shuffle=True
    )
    assert images.device == classes.device == device
    assert images.shape == (4, 3, 60, 60)


def test_extreme_aspect_ratios_do_not_determine_the_memory_of_all_images():
    packed = packed_gradients([(60, 4), (4, 60), *[(60, 60)] * 98])
    # a canvas for both strips would have 900 x 900 px for each image
    assert len(resize_images(packed, 60, "crop", CPU).pixels) == 2 * 60 * 900 + 98 * 60 * 60


def test_squares_are_cropped_from_images_of_any_shape():
    shapes = [(60, 40), (60, 60), (30, 60), (60, 40), (60, 4)]
    packed, rows = packed_gradients(shapes), np.array([4, 0, 3, 2])
    packed.images.random_(generator=torch.Generator().manual_seed(0))
    corners = torch.rand(len(rows), 2, generator=torch.Generator().manual_seed(1))
    squares = resize_images(packed, 20, "crop", CPU, rows=rows).crop(torch.arange(len(rows)), corners)
    for row, corner, square in zip(rows, corners, squares, strict=True):
        height, width = shapes[row]
        new = (round(20 * height / min(height, width)), round(20 * width / min(height, width)))
        whole = functional.resize(packed.images[row, :height, :width].permute(2, 0, 1), list(new), antialias=True)
        top, left = ((torch.tensor(new) - 20) * corner).round().int().tolist()
        assert torch.equal(square, whole[:, top : top + 20, left : left + 20])


@pytest.mark.parametrize(("height", "width"), [(24, 24), (40, 60), (61, 37), (97, 130)])
def test_resizing_is_identical_to_that_of_torchvision(height, width):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 61, 97), generator=generator, dtype=torch.uint8)
    expected = functional.resize(images, [height, width], antialias=True)
    assert torch.equal(resize_bilinear(images, height, width), expected)


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("manifest", lambda table: table[1:], "its images are not those of"),
        ("manifest", lambda table: table[::-1], "its images are not those of"),
        ("manifest", lambda table: table.assign(height=65), "an image has another size than in"),
        ("manifest", lambda table: table.assign(width=0), "an image has another size than in"),
        ("manifest", lambda table: table.drop(columns="width"), "the column width is missing"),
        ("split", lambda table: table.assign(**{"class": table["class"] + 1}), "its numbers of classes do not match"),
        ("split", lambda table: table.assign(label=np.roll(table["label"], 1)), "its numbers of classes do not"),
        ("split", lambda table: table.assign(validation="yes"), "a value in the column validation is not True"),
    ],
)
def test_table_that_does_not_match_the_packed_images_is_damaged(dataset, tmp_path, file, change, problem):
    paths = {name: dataset / f"{name}.csv" for name in ("manifest", "split")}
    changed = change(read_table(paths[file]))
    paths[file] = tmp_path / f"{file}.csv"
    write_table(changed, paths[file])
    with pytest.raises(EntrError, match=rf"{file}\.csv is damaged \({problem}.*\); delete it and run again"):
        PackedImages.open(dataset / "pixels.npy", **paths)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"<html>"])
def test_damaged_pixels_are_named(dataset, tmp_path, content):
    (tmp_path / "pixels.npy").write_bytes(content)
    with pytest.raises(EntrError, match=r"pixels\.npy is damaged"):
        PackedImages.open(tmp_path / "pixels.npy", dataset / "manifest.csv", dataset / "split.csv")
