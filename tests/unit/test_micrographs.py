import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from entr import micrographs

PER_CLASS = 24


@pytest.fixture(scope="module")
def pictures():
    return {
        name: [Image.fromarray(micrographs.render(name, 0, index)) for index in range(PER_CLASS)]
        for name in micrographs.MICROSTRUCTURES
    }


def accuracy(features, classes):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return cross_val_score(model, np.array(features), classes, cv=4).mean()


def spectrum(picture, size):
    """Mean power of the picture in 16 rings of spatial frequency, as it is at a size."""
    grey = np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS), float)
    power = np.abs(np.fft.fft2((grey - grey.mean()) / grey.std())) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    ring = np.minimum((frequency * 32).astype(int), 15).ravel()
    return np.log(np.bincount(ring, power.ravel()) / np.bincount(ring))


def test_an_image_is_the_same_every_time_and_differs_by_class_seed_and_number():
    image = micrographs.render("ferrite", 0, 0)
    assert image.shape == (micrographs.SIZE, micrographs.SIZE)
    assert np.array_equal(image, micrographs.render("ferrite", 0, 0))
    for other in (("pearlite", 0, 0), ("ferrite", 1, 0), ("ferrite", 0, 1)):
        assert not np.array_equal(image, micrographs.render(*other))


def test_images_do_not_depend_on_the_number_of_processes(tmp_path):
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        micrographs.write(tmp_path / str(processes), 2, seed=0, processes=processes)
    one, two = (sorted((tmp_path / name).rglob("*.png")) for name in "12")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_brightness_and_raw_pixels_do_not_tell_the_classes_apart(pictures):
    classes = np.repeat(np.arange(len(pictures)), PER_CLASS)
    everything = [picture for group in pictures.values() for picture in group]
    raw = [np.asarray(picture.resize((32, 32)), float).ravel() for picture in everything]
    brightness = [[np.mean(picture)] for picture in everything]
    # chance is 0.14
    assert accuracy(raw, classes) < 0.3
    assert accuracy(brightness, classes) < 0.3


def test_structure_tells_the_classes_apart(pictures):
    classes = np.repeat(np.arange(len(pictures)), PER_CLASS)
    assert accuracy([spectrum(picture, 250) for group in pictures.values() for picture in group], classes) > 0.6


def test_ferrite_and_pearlite_differ_in_what_small_images_cannot_show(pictures):
    classes = np.repeat([0, 1], PER_CLASS)
    pair = pictures["ferrite"] + pictures["pearlite"]
    large, small = (accuracy([spectrum(picture, size) for picture in pair], classes) for size in (250, 60))
    assert large > 0.9
    assert small < large - 0.15
