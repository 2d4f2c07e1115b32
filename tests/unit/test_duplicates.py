"""Copies of images, however they were made."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.Image import Transpose

from entr import duplicates, micrographs

CLASSES = list(micrographs.MICROSTRUCTURES)


def picture(index=0, name=CLASSES[0]):
    return Image.fromarray(micrographs.render(name, 0, index))


def jpeg(image, quality):
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality)
    return Image.open(file)


def pairs(*images, max_distance=32):
    hashes = np.stack([duplicates.hashes_of(image) for image in images])
    return duplicates.pairs(hashes, [str(number) for number in range(len(images))], max_distance)


COPIES = {
    "re-encoded": lambda image: jpeg(image, 60),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "a thumbnail": lambda image: image.resize((64, 64)),
    "in colour": lambda image: image.convert("RGB"),
    **{way.name.lower(): lambda image, way=way: jpeg(image.transpose(way), 80) for way in Transpose},
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_is_found(copy):
    found = pairs(picture(), copy(picture()), picture(1))
    assert found[["first", "second"]].to_numpy().tolist() == [[0, 1]]


def test_different_images_of_every_class_are_not_copies():
    assert pairs(*(picture(index, name) for name in CLASSES for index in range(8))).empty


def test_the_same_image_differs_in_nothing():
    assert pairs(picture(), picture(), max_distance=0)["distance"].tolist() == [0]


@settings(max_examples=30)
@given(
    bits=st.lists(st.lists(st.booleans(), min_size=64, max_size=64), min_size=2, max_size=6),
    max_distance=st.integers(0, 40),
)
def test_pairs_are_those_of_a_comparison_one_by_one(bits, max_distance):
    upright = np.array(bits)
    hashes = np.stack([upright, upright[:, ::-1]], axis=1)
    found = duplicates.pairs(hashes, [""] * len(hashes), max_distance)
    expected = [
        [one, two, distance]
        for one in range(len(hashes))
        for two in range(one + 1, len(hashes))
        if (
            distance := min(
                int((hashes[a, 0] != hashes[b, way]).sum()) for a, b in ((one, two), (two, one)) for way in (0, 1)
            )
        )
        <= max_distance
    ]
    assert found[["first", "second", "distance"]].to_numpy().tolist() == expected


def test_groups_join_what_pairs_connect_through_others():
    groups = duplicates.groups(5, [0, 1], [1, 3])
    assert groups[0] == groups[1] == groups[3]
    assert len(set(groups)) == 3
