"""Source `url_list`: images downloaded from a list of URLs, as Steel and Bees of the paper were collected."""

import csv
import hashlib
import logging
import shutil
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pandas as pd
import requests
from tqdm import tqdm

from entr.config.download_settings import DownloadSettings, redact_url
from entr.data import download, image_formats
from entr.data.checksum_record import ChecksumRecord
from entr.data.http_session import open_session
from entr.data.sources import staging
from entr.jobs.errors import EntrError
from entr.jobs.files import sha256
from entr.jobs.tables import write_table

log = logging.getLogger("entr")

COLUMNS = ["url", "label", "sha256"]
REPORT = "links.csv"
"""Name of the report beside the folders of the classes."""
SHOWN_BYTES = 40
"""Number of bytes of a file that is not an image that the report shows."""

Status = Literal[
    "pending", "fetched", "duplicate", "contradiction", "refused", "failed", "not an image", "checksum mismatch"
]
"""State of a link: `duplicate` of an earlier line; `contradiction`, a URL with two labels; `refused`, an invalid URL
or label; `failed`, an unsuccessful download."""


@dataclass(frozen=True)
class Link:
    """A line of a URL list, and the result of its download."""

    line: int
    """Number of the line in the file; the line after the header is 2."""
    url: str
    label: str
    sha256: str = ""
    status: Status = "pending"
    detail: str = ""
    suffix: str = ""
    """Extension of the file name, by the detected format."""

    @property
    def is_failed(self) -> bool:
        """Whether the line gives no image although it should."""
        return self.status not in {"fetched", "duplicate"}


def fetch_url_list(
    name: str,
    entry: Mapping[str, Any],
    destination: str | Path,
    download_settings: Mapping[str, Any],
    checksum_record: str | Path,
) -> None:
    """Download the images of a URL list.

    Parameters
    ----------
    name : str
        Name of the dataset, for messages.
    entry : mapping
        Its entry in the catalogue; ``path`` is a CSV file with the columns ``url``, ``label`` and,
        optionally, ``sha256``.
    destination : path
        Folder to create, with one subfolder per class and the report ``links.csv``: one row per
        line of the list, with its status. Until the folder is complete, the fetched images and the
        report are kept in `download_cache`, so that the next run fetches only the rest.
    download_settings : mapping
        The section ``download`` of the configuration.
    checksum_record : path
        File of a `ChecksumRecord`, by which images without a checksum in the list are verified.

    Raises
    ------
    EntrError
        If the list cannot be read, or if too many links, or all links of a class, give no image.
    """
    settings = DownloadSettings.model_validate(download_settings)
    cache = staging.download_cache(destination)
    key = f"datasets.{name}.path"
    record = ChecksumRecord(checksum_record)
    with staging.staged_originals(name, entry, destination) as folder:
        links = download_links(mark_unusable(read_url_list(entry["path"], key)), cache, settings, record)
        _write_report(cache / REPORT, links)
        _check_failures(links, settings, key, cache / REPORT)
        fetched = [link for link in links if link.status == "fetched"]
        checksums = {link.url: sha256(cached_file(cache, link)) for link in fetched if not link.sha256}
        for link in fetched:
            class_folder = folder / link.label
            class_folder.mkdir(exist_ok=True)
            shutil.copyfile(cached_file(cache, link), class_folder / f"{link.line:06d}{link.suffix}")
        _write_report(folder / REPORT, links)
    record.add(checksums)


def read_url_list(path: str | Path, key: str) -> list[Link]:
    """Read a URL list.

    Parameters
    ----------
    path : path
        CSV file of the user.
    key : str
        Configuration key of the path, for messages.

    Raises
    ------
    EntrError
        If it is not a CSV file in UTF-8 with the columns ``url`` and ``label``, or has no rows.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restkey="surplus", restval="")
            columns = [column.strip().lower() for column in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise EntrError(f"{key}: {path} is not a readable CSV file in UTF-8 ({error}); save it as such") from error
    if not {"url", "label"} <= set(columns) <= set(COLUMNS):
        raise EntrError(
            f"{key}: the columns of {path} are {', '.join(columns) or 'missing'}; "
            "name them url, label and, optionally, sha256"
        )
    for line, row in rows:
        if "surplus" in row:
            raise EntrError(f"{key}: line {line} of {path} has too many fields; quote fields that contain a comma")
    links = [Link(line, row["url"].strip(), row["label"].strip(), row.get("sha256", "").strip()) for line, row in rows]
    if not links:
        raise EntrError(f"{key}: {path} lists no images; add one line per image")
    return links


def mark_unusable(links: Sequence[Link]) -> list[Link]:
    """Mark the lines that need no download: invalid URLs or labels, contradictions and duplicates."""
    labels = defaultdict(set)
    for link in links:
        labels[link.url].add(link.label)
    earlier_urls: set[str] = set()
    marked = []
    for link in links:
        marked.append(_mark(link, labels[link.url], earlier_urls))
        if marked[-1].status == "pending":
            earlier_urls.add(link.url)
    return marked


def _mark(link: Link, labels: set[str], earlier_urls: set[str]) -> Link:
    try:
        parts = urlsplit(link.url)
        is_usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        staging.validate_label(link.label)
    except ValueError as error:
        return replace(link, status="refused", detail=str(error))
    if link.label == REPORT:
        return replace(link, status="refused", detail=f"the class {link.label!r} has the name of the report")
    if not is_usable:
        return replace(link, status="refused", detail="not an http:// or https:// URL")
    if len(labels) > 1:
        return replace(link, status="contradiction", detail=f"listed with the labels {' and '.join(sorted(labels))}")
    if link.url in earlier_urls:
        return replace(link, status="duplicate", detail="already listed")
    return link


def download_links(
    links: Sequence[Link], cache: Path, settings: DownloadSettings, record: ChecksumRecord
) -> list[Link]:
    """Download the pending links in parallel, with a limit per host.

    Parameters
    ----------
    links : sequence of Link
        Those with the status ``pending`` are downloaded.
    cache : Path
        Directory of the files, which are named by the digest of their URL. Existing files are not
        downloaded again.
    settings : DownloadSettings
        Timeouts, retries and limits.
    record : ChecksumRecord
        Checksums that links without one in the list have to match.

    Returns
    -------
    list of Link
        All links in their order, none of them pending.
    """
    cache.mkdir(parents=True, exist_ok=True)
    queues = _queues(links, settings.connections_per_host)
    stop = threading.Event()
    with (
        tqdm(total=sum(map(len, queues)), unit=" links", disable=None) as progress,
        ThreadPoolExecutor(settings.connections) as pool,
        _set_on_error(stop),
    ):
        results = pool.map(lambda queue: _download_queue(queue, cache, settings, record, progress, stop), queues)
        downloaded = {link.line: link for of_queue in results for link in of_queue}
    return [downloaded.get(link.line, link) for link in links]


def _queues(links: Sequence[Link], per_host: int) -> list[list[Link]]:
    """Distribute the pending links over queues, at most `per_host` for one host, the longest queue first."""
    by_host = defaultdict(list)
    for link in links:
        if link.status == "pending":
            by_host[urlsplit(link.url).hostname].append(link)
    queues = []
    for of_host in by_host.values():
        count = min(len(of_host), per_host)
        queues += [of_host[first::per_host] for first in range(count)]
    return sorted(queues, key=len, reverse=True)


@contextmanager
def _set_on_error(stop: threading.Event) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stop.set()
        raise


def _download_queue(
    queue: Sequence[Link],
    cache: Path,
    settings: DownloadSettings,
    record: ChecksumRecord,
    progress: tqdm,
    stop: threading.Event,
) -> list[Link]:
    """Download one link after the other, until the run is interrupted or another thread fails."""
    downloaded = []
    with open_session() as session, _set_on_error(stop):
        for link in queue:
            if stop.is_set():
                break
            downloaded.append(_download_link(session, link, cache, settings, record))
            progress.update()
    return downloaded


def _download_link(
    session: requests.Session, link: Link, cache: Path, settings: DownloadSettings, record: ChecksumRecord
) -> Link:
    file = cached_file(cache, link)
    try:
        if not file.exists():
            download.download_one(session, link.url, file, settings, limit="max_link_bytes")
    except download.DownloadError as error:
        return replace(link, status="failed", detail=str(error))
    recorded = None if link.sha256 else record.find([link.url])
    expected = link.sha256 or recorded
    try:
        download.verify(file, None, [f"sha256:{expected}"] if expected else [])
    except download.DownloadError as error:
        file.unlink()
        remedy = f"; {record.remedy('the column sha256 of the list')}" if recorded else ""
        return replace(link, status="checksum mismatch", detail=f"{error}{remedy}")
    try:
        with file.open("rb") as content, image_formats.open_image(content) as image:
            return replace(link, status="fetched", suffix=f".{image.format}".lower())
    except MemoryError:
        raise
    except Exception:  # Pillow raises errors of almost any type for a corrupt file
        first_bytes = file.read_bytes()[:SHOWN_BYTES]
        file.unlink()
        return replace(link, status="not an image", detail=f"its first bytes are {first_bytes!r}")


def cached_file(cache: Path, link: Link) -> Path:
    """Return where the file of a link is kept until the folder of images is complete."""
    return cache / hashlib.sha256(link.url.encode()).hexdigest()[:24]


def _write_report(path: Path, links: Sequence[Link]) -> None:
    table = pd.DataFrame([asdict(replace(link, url=redact_url(link.url))) for link in links])
    write_table(table.drop(columns="suffix"), path)


def _check_failures(links: Sequence[Link], settings: DownloadSettings, key: str, report: Path) -> None:
    """Log the failed links; raise an error if there are too many, or if a class has no image."""
    counts = Counter(link.status for link in links)
    log.info("%s: %s", key, ", ".join(f"{count} {status}" for status, count in counts.most_common()))
    failed = [link for link in links if link.is_failed]
    for link in failed:
        log.warning("%s: %s", key, _described(link))
    if len(failed) > settings.max_failed_fraction * len(links):
        raise EntrError(
            f"{key}: {len(failed)} of {len(links)} links give no image; the first is {_described(failed[0])}. "
            f"All are in {report}. Fix the list, run again later (fetched images are kept), or raise "
            "download.max_failed_fraction"
        )
    fetched = {link.label for link in links if link.status == "fetched"}
    for link in links:
        if link.label and link.label not in fetched:
            raise EntrError(
                f"{key}: no link of the class {link.label!r} gives an image; the first is {_described(link)}. "
                f"All are in {report}. Fix the list"
            )


def _described(link: Link) -> str:
    return f"line {link.line}, {redact_url(link.url)}: {link.status} ({link.detail})"
