"""Near-duplicates: resized, rotated, re-encoded copies of rendered micrographs."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.Image import Transpose

from entr.data import duplicates
from entr.data.sources import synthetic_micrographs

CLASSES = list(synthetic_micrographs.MICROSTRUCTURES)


def micrograph(index=0, name=CLASSES[0]):
    return Image.fromarray(synthetic_micrographs.render(name, 0, index))


def jpeg(image, quality):
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality)
    return Image.open(file)


def near_duplicates(*images, max_hash_distance=32):
    hashes = np.stack([duplicates.perceptual_hashes(image) for image in images])
    return duplicates.find_near_duplicates(hashes, [str(number) for number in range(len(images))], max_hash_distance)


COPIES = {
    "re-encoded": lambda image: jpeg(image, 60),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "a thumbnail": lambda image: image.resize((64, 64)),
    "in colour": lambda image: image.convert("RGB"),
    **{
        transpose.name.lower(): lambda image, transpose=transpose: jpeg(image.transpose(transpose), 80)
        for transpose in Transpose
    },
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copy_is_found(copy):
    found = near_duplicates(micrograph(), copy(micrograph()), micrograph(1))
    assert found[["first", "second"]].to_numpy().tolist() == [[0, 1]]


def test_different_images_of_a_class_are_not_near_duplicates():
    assert near_duplicates(*(micrograph(index, name) for name in CLASSES for index in range(8))).empty


def test_identical_images_have_distance_zero():
    assert near_duplicates(micrograph(), micrograph(), max_hash_distance=0)["distance"].tolist() == [0]


@settings(max_examples=30)
@given(
    bits=st.lists(st.lists(st.booleans(), min_size=64, max_size=64), min_size=2, max_size=6),
    max_hash_distance=st.integers(0, 40),
)
def test_pairs_equal_those_of_a_brute_force_comparison(bits, max_hash_distance):
    upright = np.array(bits)
    hashes = np.stack([upright, upright[:, ::-1]], axis=1)
    found = duplicates.find_near_duplicates(hashes, [""] * len(hashes), max_hash_distance)
    expected = [
        [one, two, distance]
        for one in range(len(hashes))
        for two in range(one + 1, len(hashes))
        if (
            distance := min(
                int((hashes[a, 0] != hashes[b, orientation]).sum())
                for a, b in ((one, two), (two, one))
                for orientation in (0, 1)
            )
        )
        <= max_hash_distance
    ]
    assert found[["first", "second", "distance"]].to_numpy().tolist() == expected


def test_groups_connect_images_through_other_images():
    groups = duplicates.connected_groups(5, [0, 1], [1, 3])
    assert groups[0] == groups[1] == groups[3]
    assert len(set(groups)) == 3
