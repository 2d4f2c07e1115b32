"""Images behind the links of a list, one download each: how the paper's Steel and Bees were made."""

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
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import requests
from tqdm import tqdm

from entr import downloads, formats, sources
from entr.guards import EntrError, atomic_write
from entr.limits import Limits

log = logging.getLogger("entr")

COLUMNS = ["url", "label", "sha256"]


@dataclass(frozen=True)
class Link:
    """A line of a list, and what became of it."""

    line: int
    """Number of the line in the file; the first below the names of the columns is 2."""
    url: str
    label: str
    sha256: str = ""
    status: str = "waiting"
    """`fetched`, `duplicate` (of an earlier line), `contradiction` (an address with two labels),
    `refused` (no http address, or no name for a class), `dead`, `wrong type` (no image), or
    `wrong checksum`."""
    detail: str = ""
    suffix: str = ""
    """Ending of the file's name, by its content."""

    @property
    def is_lost(self) -> bool:
        """Whether the line should have given an image and did not."""
        return self.status not in {"fetched", "duplicate"}


def fetch(name: str, entry: Mapping[str, Any], destination: str | Path, limits: Mapping[str, Any]) -> None:
    """Download the images of a list.

    Parameters
    ----------
    name : str
        The dataset, for messages.
    entry : mapping
        Its entry in the catalogue; ``path`` is a CSV file with the columns ``url``, ``label`` and,
        if wanted, ``sha256``.
    destination : path
        Becomes a folder with one sub-folder a class and the report ``links.csv``: every line of the
        list with its status. While there is no such folder, the images that were fetched and the
        report lie beside it, in ``download``, so that another run fetches the rest.
    limits : mapping
        The section ``download`` of the configuration.

    Raises
    ------
    EntrError
        When the list cannot be read, or too many links, or all of a class, give no image.
    """
    limits = Limits.model_validate(limits)
    beside = sources.beside(destination)
    key = f"datasets.{name}.path"
    with sources.filling(name, entry, destination) as folder:
        links = receive(checked(read(entry["path"], key)), beside, limits)
        _report(beside / "links.csv", links)
        _complain(links, limits, key, beside / "links.csv")
        for link in links:
            if link.status == "fetched":
                place = folder / link.label
                place.mkdir(exist_ok=True)
                shutil.copyfile(_kept(beside, link), place / f"{link.line:06d}{link.suffix}")
        _report(folder / "links.csv", links)


def read(path: str | Path, key: str) -> list[Link]:
    """Read a list.

    Raises
    ------
    EntrError
        When it is no CSV file in UTF-8 with the columns ``url`` and ``label``, or has no lines.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restkey="more", restval="")
            reader.fieldnames = [column.strip().lower() for column in reader.fieldnames or []]
            columns = reader.fieldnames
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise EntrError(f"{key}: {path} cannot be read as a CSV file in UTF-8: {error}") from error
    if not {"url", "label"} <= set(columns) <= set(COLUMNS):
        raise EntrError(
            f"{key}: the first line of {path} names the columns {', '.join(columns) or 'of nothing'}; it should name "
            "url and label, and may name sha256"
        )
    for line, row in rows:
        if "more" in row:
            raise EntrError(f"{key}: line {line} of {path} has too many fields; put quotes around those with a comma")
    links = [Link(line, **{column: text.strip() for column, text in row.items()}) for line, row in rows]
    if not links:
        raise EntrError(f"{key}: {path} lists no image; give one line an image")
    return links


def checked(links: Sequence[Link]) -> list[Link]:
    """Mark the lines that need no download: those without a usable address or label, and repeated ones."""
    labels = defaultdict(set)
    for link in links:
        labels[link.url].add(link.label)
    seen: set[str] = set()
    return [_checked(link, labels[link.url], seen) for link in links]


def _checked(link: Link, labels: set[str], seen: set[str]) -> Link:
    try:
        parts = urlsplit(link.url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        sources.checked_label(link.label)
    except ValueError as error:
        return replace(link, status="refused", detail=str(error))
    if not usable:
        return replace(link, status="refused", detail="no address that begins with http:// or https://")
    if len(labels) > 1:
        return replace(link, status="contradiction", detail=f"listed as {' and as '.join(sorted(labels))}")
    if link.url in seen:
        return replace(link, status="duplicate", detail="listed before")
    seen.add(link.url)
    return link


def receive(links: Sequence[Link], folder: Path, limits: Limits) -> list[Link]:
    """Download what waits, several at once, but no more from one host than is polite.

    Parameters
    ----------
    links : sequence of Link
        Those with the status ``waiting`` are downloaded.
    folder : Path
        Keeps the files, by the digest of their address; what lies there already is not fetched again.
    limits : Limits
        Patience and politeness.

    Returns
    -------
    list of Link
        All links in their order, none of them waiting.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hosts = defaultdict(list)
    for link in links:
        if link.status == "waiting":
            hosts[urlsplit(link.url).hostname].append(link)
    # each queue is worked through one by one; the longest begin first
    queues = [some[first :: limits.connections_per_host] for some in hosts.values()
              for first in range(min(len(some), limits.connections_per_host))]  # fmt: skip
    queues.sort(key=len, reverse=True)
    stop = threading.Event()
    with (
        tqdm(total=sum(map(len, queues)), unit=" links", disable=None) as shows,
        ThreadPoolExecutor(limits.connections) as pool,
        _set_by_an_error(stop),
    ):
        done = {link.line: link for some in pool.map(lambda queue: _work(queue, folder, limits, shows, stop), queues)
                for link in some}  # fmt: skip
    return [done.get(link.line, link) for link in links]


@contextmanager
def _set_by_an_error(stop: threading.Event) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stop.set()
        raise


def _work(queue: Sequence[Link], folder: Path, limits: Limits, shows: tqdm, stop: threading.Event) -> list[Link]:
    """Download one link after the other, unless the run is interrupted or another thread cannot go on."""
    done = []
    with requests.Session() as session, _set_by_an_error(stop):
        for link in queue:
            if stop.is_set():
                break
            done.append(_receive_one(session, link, folder, limits))
            shows.update()
    return done


def _receive_one(session: requests.Session, link: Link, folder: Path, limits: Limits) -> Link:
    file = _kept(folder, link)
    try:
        if not file.exists():
            downloads.receive(session, link.url, file, limits, max_bytes=limits.max_link_bytes)
    except downloads.DownloadError as error:
        return replace(link, status="dead", detail=str(error))
    try:
        downloads.verify(file, None, [f"sha256:{link.sha256}"] if link.sha256 else [])
    except downloads.DownloadError as error:
        file.unlink()
        return replace(link, status="wrong checksum", detail=str(error))
    try:
        with file.open("rb") as content, formats.opened(content) as image:
            return replace(link, status="fetched", suffix=f".{image.format.lower()}")
    except MemoryError:
        raise
    except Exception:  # Pillow raises nearly anything for a damaged file
        begin = file.read_bytes()[:40]
        file.unlink()
        return replace(link, status="wrong type", detail=f"no image; it begins with {begin!r}")


def _kept(folder: Path, link: Link) -> Path:
    return folder / hashlib.sha256(link.url.encode()).hexdigest()[:24]


def _report(path: Path, links: Sequence[Link]) -> None:
    table = pd.DataFrame([asdict(replace(link, url=downloads.shown(link.url))) for link in links])
    with atomic_write(path) as file:
        table.drop(columns="suffix").to_csv(file, index=False)


def _complain(links: Sequence[Link], limits: Limits, key: str, report: Path) -> None:
    counts = Counter(link.status for link in links)
    log.info("%s: %s", key, ", ".join(f"{number} {status}" for status, number in counts.most_common()))
    lost = [link for link in links if link.is_lost]
    for link in lost:
        log.warning("line %d, %s: %s (%s)", link.line, downloads.shown(link.url), link.status, link.detail)
    if len(lost) > limits.max_dead * len(links):
        raise EntrError(
            f"{key}: {len(lost)} of {len(links)} links give no image; the first is line {lost[0].line}, "
            f"{downloads.shown(lost[0].url)}: {lost[0].status} ({lost[0].detail}). All are in {report}. "
            "Mend the list, run again later (what was fetched is kept), or raise download.max_dead"
        )
    fetched = {link.label for link in links if link.status == "fetched"}
    for link in links:
        if link.label and link.label not in fetched:
            raise EntrError(
                f"{key}: no link of the class {link.label!r} gives an image; the first is line {link.line}, "
                f"{downloads.shown(link.url)}: {link.status} ({link.detail}). All are in {report}. Mend the list"
            )
