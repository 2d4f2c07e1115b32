"""Images that are the same or nearly so: in any of the eight orientations, at any size, re-encoded."""

import hashlib
from collections.abc import Sequence

import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling, Transpose
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

SIDE = 16
"""Frequencies of a perceptual hash in each direction; it has `SIDE`² bits."""
OVERSAMPLING = 4
"""Pixels of the reduced image for each frequency, as in imagehash."""
FLAT = 2
"""Standard deviation of grey values, of 255, below which an image has nothing that a hash could tell."""
PAIR = ["first", "second", "distance", "same_file"]

Hashes = NDArray[np.bool_]


def hashes_of(image: Image.Image) -> Hashes:
    """Return the perceptual hash of an image in each of its eight orientations.

    The hash is imagehash's ``phash``: the signs, relative to their median, of the lowest
    frequencies of a cosine transform of the reduced grey image. Black and white would have one
    hash, so that of a flat image is the digest of its pixels: it looks like none but itself.

    Parameters
    ----------
    image : Image
        Any size and mode.

    Returns
    -------
    array of bool, shape (8, SIDE²)
        The image as it is comes first.
    """
    side = SIDE * OVERSAMPLING
    small = image.convert("L").resize((side, side), Resampling.LANCZOS)
    if np.asarray(small).std() < FLAT:
        digest = np.frombuffer(hashlib.sha256(image.tobytes()).digest(), np.uint8)
        return np.tile(np.unpackbits(digest).astype(bool), (1 + len(Transpose), 1))
    turned = [small, *(small.transpose(way) for way in Transpose)]
    return np.stack([imagehash.phash(one, SIDE, OVERSAMPLING).hash.ravel() for one in turned])


def digits(hashes: Hashes) -> str:
    """Return the hash of the image as it is, in hexadecimal, as imagehash writes and reads it."""
    return str(imagehash.ImageHash(hashes[0].reshape(SIDE, SIDE)))


def pairs(hashes: Hashes, checksums: Sequence[str], max_distance: int) -> pd.DataFrame:
    """Find all pairs of images that are the same or nearly so.

    Parameters
    ----------
    hashes : array of bool, shape (n, 8, bits)
        See `hashes_of`.
    checksums : sequence of str
        Of the files' bytes.
    max_distance : int
        Bits in which two hashes may differ, in whichever orientation they differ least. Of 80
        images each of UCM, NEU and Flowers, copies of half the size differ in at most 14 of 256,
        copies turned and saved as JPEG of quality 60 in at most 40, half of them in none or few;
        different images of one class seldom in fewer than 50.

    Returns
    -------
    DataFrame
        Columns ``first, second`` (rows, the first the smaller), ``distance`` (bits) and
        ``same_file`` (whether the bytes are the same).
    """
    upright = hashes[:, 0].astype(np.float32)
    # the squared Euclidean distance of bits is the number that differ
    search = NearestNeighbors(radius=np.sqrt(max_distance) + 1e-3, algorithm="brute", metric="euclidean").fit(upright)
    found = []
    for way in range(hashes.shape[1]):
        lengths, neighbours = search.radius_neighbors(hashes[:, way].astype(np.float32))
        counts = [len(some) for some in neighbours]
        first, second = np.repeat(np.arange(len(hashes)), counts), np.concatenate(neighbours).astype(int)
        distance = np.square(np.concatenate(lengths)).round().astype(int)
        found.append(pd.DataFrame({"first": first, "second": second, "distance": distance}))
    table = pd.concat(found)
    # turning the one or turning the other can give different hashes, so both orders count
    table[["first", "second"]] = np.sort(table[["first", "second"]].to_numpy(), axis=1)
    table = table[table["first"] < table["second"]]
    table = table.groupby(["first", "second"], as_index=False)["distance"].min()
    checksums = np.asarray(checksums)
    return table.assign(same_file=checksums[table["first"]] == checksums[table["second"]])[PAIR]


def groups(count: int, first: Sequence[int], second: Sequence[int]) -> NDArray[np.int32]:
    """Return a number for each image, equal for images that pairs connect, directly or through others."""
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1]
