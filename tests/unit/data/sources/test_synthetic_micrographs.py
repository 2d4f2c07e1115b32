"""Rendered micrographs: reproducible, and separable by structure alone."""

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from entr.config.schema import Dataset
from entr.data import image_folder
from entr.data.sources import synthetic_micrographs

PER_CLASS = 24


@pytest.fixture(scope="module")
def images():
    return {
        name: [Image.fromarray(synthetic_micrographs.render(name, 0, index)) for index in range(PER_CLASS)]
        for name in synthetic_micrographs.MICROSTRUCTURES
    }


def accuracy(features, classes):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return cross_val_score(model, np.array(features), classes, cv=4).mean()


def spectrum(image, size):
    """Return the logarithm of the mean power in 16 rings of spatial frequency, after resizing."""
    grey = np.asarray(image.resize((size, size), Image.Resampling.LANCZOS), float)
    power = np.abs(np.fft.fft2((grey - grey.mean()) / grey.std())) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    ring = np.minimum((frequency * 32).astype(int), 15).ravel()
    return np.log(np.bincount(ring, power.ravel()) / np.bincount(ring))


def test_image_is_reproducible_and_depends_on_class_seed_and_index():
    image = synthetic_micrographs.render("ferrite", 0, 0)
    assert image.shape == (synthetic_micrographs.SIZE, synthetic_micrographs.SIZE)
    assert np.array_equal(image, synthetic_micrographs.render("ferrite", 0, 0))
    for other in (("pearlite", 0, 0), ("ferrite", 1, 0), ("ferrite", 0, 1)):
        assert not np.array_equal(image, synthetic_micrographs.render(*other))


def test_images_do_not_depend_on_the_number_of_processes(tmp_path):
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        synthetic_micrographs.render_dataset(tmp_path / str(processes), 2, seed=0, processes=processes)
    one, two = (sorted((tmp_path / name).rglob("*.png")) for name in "12")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_brightness_and_raw_pixels_do_not_separate_the_classes(images):
    classes = np.repeat(np.arange(len(images)), PER_CLASS)
    all_images = [image for group in images.values() for image in group]
    raw = [np.asarray(image.resize((32, 32)), float).ravel() for image in all_images]
    brightness = [[np.mean(image)] for image in all_images]
    # chance is 0.14
    assert accuracy(raw, classes) < 0.3
    assert accuracy(brightness, classes) < 0.3


def test_spatial_frequencies_separate_the_classes(images):
    classes = np.repeat(np.arange(len(images)), PER_CLASS)
    assert accuracy([spectrum(image, 250) for group in images.values() for image in group], classes) > 0.6


def test_ferrite_and_pearlite_are_harder_to_separate_in_small_images(images):
    classes = np.repeat([0, 1], PER_CLASS)
    pair = images["ferrite"] + images["pearlite"]
    large, small = (accuracy([spectrum(image, size) for image in pair], classes) for size in (250, 60))
    assert large > 0.9
    assert small < large - 0.15


def test_synthetic_dataset_has_seven_classes(tmp_path):
    entry = Dataset(source="synthetic", images_per_class=2).model_dump(mode="json")
    synthetic_micrographs.render_micrographs("mine", entry, tmp_path / "originals", 2)
    assert len(image_folder.class_folders(tmp_path / "originals")) == 7
    assert len(list(image_folder.labelled_files(tmp_path / "originals"))) == 14
