"""Downscaling of the original images, and rejection of unusable files and contradicting labels."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from entr.data.decode import UnusableError, describe_with_type, downscale_image
from entr.data.duplicates import Hashes, connected_groups, find_near_duplicates, hex_phash, perceptual_hashes
from entr.data.image_folder import decode_name, labelled_files
from entr.jobs.directories import atomic_directory
from entr.jobs.errors import EntrError, one_line
from entr.jobs.process_pool import process_pool
from entr.jobs.tables import write_table

log = logging.getLogger("entr")


@dataclass(frozen=True)
class ManifestRow:
    """A row of the manifest; the packed pixels have the order of these rows."""

    image: str
    """Path of the downscaled image, relative to the folder of images."""
    label: str
    source: str
    """Path of the original, relative to the folder of originals."""
    source_width: int
    source_height: int
    """Height of the original in upright orientation."""
    width: int
    height: int
    frames: int
    """Frames or pages of the original, of which the first is used."""
    sha256: str
    """Checksum of the original file."""
    phash: str
    """Perceptual hash in the format of imagehash."""
    group: int = 0
    """Number of the group of near-duplicates, connected directly or through other images."""


@dataclass(frozen=True)
class Rejected:
    """A file that is not used."""

    source: str
    label: str
    kind: Literal["not an image", "contradiction"]
    reason: str


def downscale_dataset(
    originals: str | Path,
    settings: Mapping[str, Any],
    processes: int = 1,
    *,
    images: str | Path,
    manifest: str | Path,
    rejected: str | Path,
    duplicates: str | Path,
) -> None:
    """Downscale all originals to RGB images, and find near-duplicates among them.

    The aspect ratio is kept, no image is enlarged, the filter is antialiased (Lanczos), and the EXIF
    orientation is applied [paper, Methods: "maximum size of 250 px"]. Near-duplicates with
    different labels are all rejected, because it is unknown which label is wrong.

    Parameters
    ----------
    originals : path
        Folder with one subfolder per class.
    settings : mapping
        The section ``images`` of the configuration.
    processes : int
        Number of processes; the result does not depend on it.
    images : path
        Folder to create, with PNG files numbered across classes.
    manifest, rejected : path
        CSV files to write, with the columns of `ManifestRow` and `Rejected`.
    duplicates : path
        CSV file to write, with one row per pair of near-duplicates: ``first, second`` (paths of the
        originals), ``first_label, second_label, distance`` (bits in which the perceptual hashes
        differ) and ``same_file`` (whether the files are identical).

    Raises
    ------
    EntrError
        If more than ``max_rejected_fraction`` of the files are rejected, or all files of a class.
    """
    originals = Path(originals)
    jobs = [(number, label, path) for number, (label, path) in enumerate(labelled_files(originals))]
    with atomic_directory(images) as folder:
        for label in {decode_name(label) for _, label, _ in jobs}:
            (folder / label).mkdir()
        with process_pool(processes) as pool:
            results = list(pool.map(partial(downscale_file, originals, folder, settings), jobs, chunksize=16))
        labels = Counter(result.label if isinstance(result, Rejected) else result[0].label for result in results)
        accepted = [result for result in results if not isinstance(result, Rejected)]
        not_images = [result for result in results if isinstance(result, Rejected)]
        for row in not_images:
            log.warning("%s: rejected (%s)", row.source, row.reason)
        _check_rejections(not_images, labels, originals, settings["max_rejected_fraction"])
        rows, contradicting, pairs = _group_near_duplicates(accepted, settings["max_hash_distance"])
        for contradicting_row in contradicting:
            (folder / contradicting_row.image).unlink()
        contradictions = _rejected_contradictions(contradicting, pairs)
        _check_rejections([*not_images, *contradictions], labels, originals, settings["max_rejected_fraction"])
    multi_frame = sum(row.frames > 1 for row in rows)
    if multi_frame:
        log.warning("%s: %d files have several frames or pages, of which the first is used", originals, multi_frame)
    write_table(_table_of(rows, ManifestRow), manifest)
    write_table(_table_of([*not_images, *contradictions], Rejected), rejected)
    write_table(pairs, duplicates)
    log.info(
        "%s: %d images downscaled to at most %d px (rejected: %d not an image, %d with contradicting labels; "
        "%d pairs of near-duplicates)",
        originals,
        len(rows),
        settings["max_side"],
        len(not_images),
        len(contradictions),
        len(pairs),
    )


def _check_rejections(
    rejected: Sequence[Rejected], labels: Counter[str], originals: Path, max_rejected_fraction: float
) -> None:
    """Raise an error if too many files are rejected, or all files of a class.

    Parameters
    ----------
    labels : Counter
        Number of files, rejected or not, by class.
    """
    if not labels:
        raise EntrError(f"{originals} contains no images; add a folder of images per class")
    if len(rejected) > max_rejected_fraction * labels.total():
        remedy = "Remove or replace them"
        if len(rejected) < labels.total():
            remedy += ", or raise images.max_rejected_fraction"
        raise EntrError(
            f"{len(rejected)} of {labels.total()} files in {originals} are not usable images{_example(rejected)}. "
            f"{remedy}"
        )
    for label, count in Counter(row.label for row in rejected).items():
        if count == labels[label]:
            raise EntrError(
                f"no image of the class {label!r} in {originals} can be used"
                f"{_example([row for row in rejected if row.label == label])}. Replace its files, or remove its folder"
            )


def _example(rejected: Sequence[Rejected]) -> str:
    return f"; the first is {rejected[0].source}: {rejected[0].reason}" if rejected else ""


def _group_near_duplicates(
    accepted: Sequence[tuple[ManifestRow, Hashes]], max_hash_distance: int
) -> tuple[list[ManifestRow], list[ManifestRow], pd.DataFrame]:
    """Return the rows of the manifest, the rows with contradicting labels, and the pairs of near-duplicates."""
    rows = [row for row, _ in accepted]
    hashes = np.stack([hashes for _, hashes in accepted])
    pairs = find_near_duplicates(hashes, [row.sha256 for row in rows], max_hash_distance)
    labels = np.array([row.label for row in rows])
    sources = np.array([row.source for row in rows])
    first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()

    contradicting = labels[first] != labels[second]
    excluded = {*first[contradicting], *second[contradicting]}
    remaining = pairs[~pairs["first"].isin(excluded) & ~pairs["second"].isin(excluded)]
    groups = connected_groups(len(rows), remaining["first"], remaining["second"])
    included = [number for number in range(len(rows)) if number not in excluded]
    # renumbered in the order of the manifest, so that excluded images leave no gaps
    group_numbers = pd.factorize(groups[included])[0]
    named_pairs = pd.DataFrame(
        {
            "first": sources[first],
            "second": sources[second],
            "first_label": labels[first],
            "second_label": labels[second],
            "distance": pairs["distance"].to_numpy(),
            "same_file": pairs["same_file"].to_numpy(),
        }
    )
    return (
        [replace(rows[number], group=int(group)) for number, group in zip(included, group_numbers, strict=True)],
        [rows[number] for number in sorted(excluded)],
        named_pairs,
    )


def _rejected_contradictions(rows: Iterable[ManifestRow], pairs: pd.DataFrame) -> list[Rejected]:
    """Return the images with contradicting labels, each with the first near-duplicate of another label."""
    contradicting = pairs[pairs["first_label"] != pairs["second_label"]]
    reasons: dict[str, str] = {}
    for one, other in (("first", "second"), ("second", "first")):
        columns = (contradicting[name] for name in (one, other, f"{other}_label"))
        for source, twin, twin_label in zip(*columns, strict=True):
            reason = f"looks like {twin}, whose label is {twin_label} (see images.max_hash_distance)"
            reasons.setdefault(source, reason)
    return [Rejected(row.source, row.label, "contradiction", reasons[row.source]) for row in rows]


def downscale_file(
    originals: Path, folder: Path, settings: Mapping[str, Any], job: tuple[int, str, Path]
) -> tuple[ManifestRow, Hashes] | Rejected:
    """Downscale one original to a PNG file in a folder with a subfolder per class.

    Parameters
    ----------
    originals, folder : path
        Folders of the originals and of the downscaled images.
    settings : mapping
        The section ``images`` of the configuration.
    job : tuple
        Number, class and path of the original.
    """
    number, label, path = job
    source, label = decode_name(path.relative_to(originals).as_posix()), decode_name(label)
    try:
        # read into memory first, because Pillow 13 scrambles a rotated uncompressed TIFF that it opens by name
        content = path.read_bytes()
    except (FileNotFoundError, PermissionError) as error:
        return Rejected(source, label, "not an image", describe_with_type(error))
    except OSError as error:
        # rejecting the file would make the dataset depend on a transient disk error
        raise EntrError(
            f"{path} could not be read ({one_line(error)}); check the disk or its connection, and run again"
        ) from error
    try:
        downscaled, (width, height), frames = downscale_image(content, settings)
    except UnusableError as error:
        return Rejected(source, label, "not an image", str(error))
    name = f"{label}/{number:06d}.png"
    downscaled.save(folder / name, compress_level=1)
    hashes = perceptual_hashes(downscaled)
    checksum = hashlib.sha256(content).hexdigest()
    row = ManifestRow(name, label, source, width, height, *downscaled.size, frames, checksum, hex_phash(hashes))
    return row, hashes


def _table_of(rows: Iterable[ManifestRow | Rejected], row_type: type) -> pd.DataFrame:
    return pd.DataFrame([asdict(row) for row in rows], columns=list(row_type.__annotations__))
