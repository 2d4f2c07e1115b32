"""Files from the internet: whole, checked, resumed after a break, from the first mirror that has them."""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential
from tqdm import tqdm

from entr.guards import EntrError
from entr.limits import Limits

log = logging.getLogger("entr")

CHUNK = 2**16
BUSY = {408, 425, 429, 500, 502, 503, 504}
"""Answers after which another attempt may succeed."""
LONGEST_WAIT = 60
"""Seconds; a server may ask for more by ``Retry-After`` and will not be given it."""


class DownloadError(Exception):
    """An address does not give what it should; another attempt would not help."""


class BrokenDownloadError(DownloadError):
    """An attempt failed in a way that another may not."""

    def __init__(self, problem: str, wait: float = 0) -> None:
        super().__init__(problem)
        self.wait = wait


def download(
    urls: Sequence[str],
    destination: Path,
    limits: Limits,
    *,
    size: int | None = None,
    checksums: Iterable[str] = (),
) -> None:
    """Download a file from the first of several addresses that has it.

    What an attempt leaves stays beside `destination` as ``<name>.part``, and the next one, also of
    a later run, goes on from there if the server says that the file is still the same.

    Parameters
    ----------
    urls : sequence of str
        Mirrors, tried in turn.
    destination : Path
        Appears under this name when it is whole and checked. A file of this name that passes the
        checks is kept.
    limits : Limits
        Patience and sizes.
    size : int, optional
        Bytes that the file must have.
    checksums : iterable of str
        Each ``md5:…``, ``sha1:…`` or ``sha256:…`` in hexadecimal; all must fit.

    Raises
    ------
    EntrError
        When no address gives the file; says what happened at each.
    """
    checksums = tuple(checksums)
    if destination.exists():
        try:
            return verify(destination, size, checksums)
        except DownloadError as error:
            log.warning("%s is downloaded again: %s", destination, error)
            destination.unlink()
    failures = []
    for url in urls:
        try:
            with requests.Session() as session:
                receive(session, url, destination, limits, size=size, max_bytes=limits.max_bytes, bar=True)
            verify(destination, size, checksums)
        except DownloadError as error:
            destination.unlink(missing_ok=True)
            failures.append(f"{shown(url)}: {error}")
            log.warning("no download from %s", failures[-1])
        else:
            return log.info("downloaded %s", shown(url))
    raise EntrError(
        f"nothing could be downloaded: {'; '.join(failures)}. "
        "Run this step where there is internet, or correct the addresses, size or checksum"
    )


def verify(path: Path, size: int | None, checksums: Sequence[str]) -> None:
    """Compare a file with its size and checksums.

    Raises
    ------
    DownloadError
        When one differs; says what was expected and what was found.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        raise DownloadError(f"{found} bytes, but {size} are expected")
    for checksum in checksums:
        algorithm, _, expected = checksum.partition(":")
        with path.open("rb") as file:
            digits = hashlib.file_digest(file, algorithm).hexdigest()
        if digits != expected.lower():
            raise DownloadError(f"its {algorithm} is {digits}, but {expected.lower()} is expected")


def receive(
    session: requests.Session,
    url: str,
    destination: Path,
    limits: Limits,
    *,
    max_bytes: int,
    size: int | None = None,
    bar: bool = False,
) -> None:
    """Download one address, trying again where that may help.

    Parameters
    ----------
    session : Session
        Keeps the connection for the next file of the same host.
    url : str
        The address, ``http`` or ``https``.
    destination : Path
        Appears when it is whole.
    limits : Limits
        Patience.
    max_bytes : int
        More than this is refused.
    size : int, optional
        Bytes that the file must have.
    bar : bool
        Draw a progress bar, if a terminal is there to show it.

    Raises
    ------
    DownloadError
        When the last attempt failed, in words that hold no password of the address.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f"{destination.name}.part")
    attempts = Retrying(
        stop=stop_after_attempt(limits.retries + 1),
        retry=retry_if_exception_type(BrokenDownloadError),
        wait=lambda state: _wait(state, limits),
        before_sleep=lambda state: log.info("%s: %s; trying again", shown(url), state.outcome.exception()),
        reraise=True,
    )
    attempts(_attempt, session, url, part, limits, min(size or max_bytes, max_bytes), size, bar)
    part.replace(destination)
    _state_of(part).unlink(missing_ok=True)


def shown(url: str) -> str:
    """Return an address without the user, password and query that may be secrets."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        return "(no address)"


def _wait(state: RetryCallState, limits: Limits) -> float:
    asked = min(getattr(state.outcome.exception(), "wait", 0), LONGEST_WAIT)
    return max(asked, wait_exponential(multiplier=limits.backoff, max=LONGEST_WAIT)(state))


def _attempt(
    session: requests.Session, url: str, part: Path, limits: Limits, most: int, size: int | None, bar: bool
) -> None:
    try:
        # encoded answers could be neither resumed nor compared with their length
        headers = {"Accept-Encoding": "identity", **_resume(part, url)}
        with session.get(url, headers=headers, stream=True, timeout=limits.timeout) as response:
            if _is_complete(response, part):
                return
            offset = _offset(response, part)
            total = _total(response, offset)
            if total is not None and size is not None and total != size:
                raise DownloadError(f"{total} bytes, but {size} are expected")
            if total is not None and total > most:
                raise DownloadError(f"{total} bytes, more than the limit of {most} (download.max_bytes)")
            if not offset:
                part.write_bytes(b"")
                _remember(part, url, response)
            with tqdm(total=total, initial=offset, unit="B", unit_scale=True, disable=None if bar else True) as shows:
                _write(response, part, most, limits, shows)
    except requests.exceptions.SSLError as error:
        raise DownloadError("no secure connection: its certificate is not trusted, or it speaks no TLS") from error
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise BrokenDownloadError("no answer in time" if _timed_out(error) else "the connection failed") from error
    except urllib3.exceptions.ProtocolError as error:
        raise BrokenDownloadError("the connection broke before the end") from error
    except urllib3.exceptions.DecodeError as error:
        part.unlink()
        raise BrokenDownloadError("its encoding is damaged") from error
    except requests.TooManyRedirects as error:
        raise DownloadError("it redirects without end") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise DownloadError(f"no usable address or answer ({type(error).__name__})") from error


def _timed_out(error: Exception) -> bool:
    return isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError)


def _is_complete(response: requests.Response, part: Path) -> bool:
    """Tell whether nothing was missing of a part that an earlier run left."""
    if response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not part.exists():
        return False
    return response.headers.get("Content-Range") == f"bytes */{part.stat().st_size}"


def _offset(response: requests.Response, part: Path) -> int:
    """Return where the answer's bytes begin in the file."""
    status = response.status_code
    if status == HTTPStatus.PARTIAL_CONTENT and "Range" not in response.request.headers:
        raise DownloadError("the server answers with a part that was not asked for")
    if status == HTTPStatus.PARTIAL_CONTENT:
        have = part.stat().st_size
        if response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            return have
    if status in {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
        part.unlink(missing_ok=True)
        raise BrokenDownloadError("the server could not resume; starting again")
    if status in BUSY:
        raise BrokenDownloadError(_answer(status), _retry_after(response))
    if not response.ok:
        raise DownloadError(_answer(status))
    return 0


def _answer(status: int) -> str:
    known = {one.value for one in HTTPStatus}
    return f"the server answers {status}{f' {HTTPStatus(status).phrase}' if status in known else ''}"


def _retry_after(response: requests.Response) -> float:
    try:
        return urllib3.Retry().get_retry_after(response.raw) or 0
    except urllib3.exceptions.InvalidHeader:
        return 0


def _total(response: requests.Response, offset: int) -> int | None:
    """Return the bytes of the whole file, if the server says so."""
    length = response.headers.get("Content-Length", "")
    return offset + int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else None


def _write(response: requests.Response, part: Path, most: int, limits: Limits, shows: tqdm) -> None:
    with part.open("ab") as file:
        for chunk in _in_time(_chunks(response), limits):
            file.write(chunk)
            shows.update(len(chunk))
            if file.tell() > most:
                part.unlink()
                raise DownloadError(f"more bytes than the limit of {most}")


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield bytes as they come, where `iter_content` waits for a whole chunk of a slow server."""
    while chunk := response.raw.read1(CHUNK, decode_content=True):
        yield chunk


def _in_time(chunks: Iterable[bytes], limits: Limits) -> Iterator[bytes]:
    """Pass bytes on while they come fast enough; one byte now and then never times out by itself."""
    begin, received = time.monotonic(), 0
    for chunk in chunks:
        yield chunk
        received += len(chunk)
        seconds = time.monotonic() - begin
        if seconds > limits.timeout:
            if received < limits.min_speed * seconds:
                raise BrokenDownloadError(f"slower than {limits.min_speed:g} bytes a second")
            begin, received = time.monotonic(), 0


def _state_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _remember(part: Path, url: str, response: requests.Response) -> None:
    """Note what tells, next time, whether the server still has the same file."""
    tag = response.headers.get("ETag", "")
    same = response.headers.get("Last-Modified") if not tag or tag.startswith("W/") else tag
    if "Content-Encoding" in response.headers:
        same = None  # the part holds decoded bytes, and the server would count encoded ones
    _state_of(part).write_text(json.dumps({"url": _digest(url), "same": same}), encoding="utf-8")


def _resume(part: Path, url: str) -> dict[str, str]:
    """Return headers that ask for the rest of a part, if it can be told that the rest fits."""
    try:
        state = json.loads(_state_of(part).read_text(encoding="utf-8"))
        have = part.stat().st_size
    except (OSError, ValueError):
        return {}
    if not have or not state["same"] or state["url"] != _digest(url):
        return {}
    return {"Range": f"bytes={have}-", "If-Range": state["same"]}


def _digest(url: str) -> str:
    """Return what tells addresses apart and betrays none."""
    return hashlib.sha256(url.encode()).hexdigest()
