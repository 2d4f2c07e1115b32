"""HTTP downloads: verified, resumable, retried, with mirrors."""

import hashlib
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Literal

import requests
import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential
from tqdm import tqdm

from entr.config.download_settings import DownloadSettings, redact_url
from entr.data.http_session import deadline, open_session
from entr.jobs.errors import EntrError

log = logging.getLogger("entr")

CHUNK_BYTES = 2**16
RETRIABLE_STATUSES = {408, 425, 429, 500, 502, 503, 504}
"""HTTP status codes after which another attempt may succeed."""
MAX_WAIT_SECONDS = 60
"""Longest wait between two attempts, even if the ``Retry-After`` header asks for more."""


class DownloadError(Exception):
    """A permanent failure: the URL does not provide the expected file."""


class TransientDownloadError(DownloadError):
    """A failure after which another attempt may succeed."""

    def __init__(self, problem: str, wait_seconds: float = 0) -> None:
        super().__init__(problem)
        self.wait_seconds = wait_seconds


def download(
    urls: Sequence[str],
    destination: Path,
    settings: DownloadSettings,
    *,
    key: str,
    n_bytes: int | None = None,
    checksums: Iterable[str] = (),
    remedy: str = "correct the URLs, the size or the checksums",
) -> None:
    """Download a file from the first of several mirrors that provides it.

    An interrupted attempt leaves ``<name>.part`` next to `destination`. The next attempt, also of a
    later run, resumes it if the server confirms that the file has not changed.

    Parameters
    ----------
    urls : sequence of str
        Mirrors, tried in turn.
    destination : Path
        Appears under this name once it is complete and verified. An existing file that passes the
        verification is kept.
    settings : DownloadSettings
        Timeouts, retries and limits.
    key : str
        Configuration key of the URLs, for the error message.
    n_bytes : int, optional
        Expected size in bytes.
    checksums : iterable of str
        Expected checksums, each ``md5:…``, ``sha1:…`` or ``sha256:…`` in hexadecimal.
    remedy : str
        What to do, besides running with internet access, for the error message.

    Raises
    ------
    EntrError
        If no mirror provides the file; the message contains the problem of each.
    """
    checksums = tuple(checksums)
    if destination.exists():
        try:
            verify(destination, n_bytes, checksums)
        except DownloadError as error:
            log.warning("%s: downloading again (%s)", destination, error)
            destination.unlink()
        else:
            return
    problems = []
    for url in urls:
        try:
            with open_session() as session:
                download_one(session, url, destination, settings, n_bytes=n_bytes, progress_bar=True)
            verify(destination, n_bytes, checksums)
        except DownloadError as error:
            destination.unlink(missing_ok=True)
            problems.append(f"{redact_url(url)}: {error}")
            log.warning("%s: download failed (%s)", redact_url(url), error)
        else:
            log.info("%s: downloaded", redact_url(url))
            return
    raise EntrError(
        f"{key}: nothing could be downloaded: {'; '.join(problems)}. Run this step with internet access, or {remedy}"
    )


def verify(path: Path, n_bytes: int | None, checksums: Sequence[str]) -> None:
    """Compare the size and the checksums of a file with the expected ones.

    Raises
    ------
    DownloadError
        If one differs; the message contains both values.
    """
    actual_bytes = path.stat().st_size
    if n_bytes is not None and actual_bytes != n_bytes:
        raise DownloadError(f"size mismatch: {actual_bytes} bytes, expected {n_bytes}")
    for checksum in checksums:
        algorithm, _, expected = checksum.partition(":")
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, algorithm).hexdigest()
        if actual != expected.lower():
            raise DownloadError(f"checksum mismatch: {algorithm} is {actual}, expected {expected.lower()}")


def download_one(
    session: requests.Session,
    url: str,
    destination: Path,
    settings: DownloadSettings,
    *,
    limit: Literal["max_bytes", "max_link_bytes"] = "max_bytes",
    n_bytes: int | None = None,
    progress_bar: bool = False,
) -> None:
    """Download a file from one URL, with retries after transient failures.

    Parameters
    ----------
    session : Session
        Keeps the connection open for the next file of the same host.
    url : str
        URL with the scheme ``http`` or ``https``.
    destination : Path
        Appears once the download is complete.
    settings : DownloadSettings
        Timeouts, retries and limits.
    limit : {"max_bytes", "max_link_bytes"}
        Which of the settings limits the size.
    n_bytes : int, optional
        Expected size in bytes.
    progress_bar : bool
        Whether to show a progress bar if the output is a terminal.

    Raises
    ------
    DownloadError
        If the last attempt fails. The message contains no password of the URL.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f"{destination.name}.part")
    size = _SizeLimits(n_bytes, getattr(settings, limit), f"download.{limit}")
    retrying = Retrying(
        stop=stop_after_attempt(settings.retries + 1),
        retry=retry_if_exception_type(TransientDownloadError),
        wait=lambda state: _wait_seconds(state, settings),
        before_sleep=lambda state: log.info("%s: retrying (%s)", redact_url(url), _failure_of(state)),
        reraise=True,
    )
    retrying(_attempt, session, url, part, settings, size, progress_bar)
    part.replace(destination)
    _resume_state_file(part).unlink(missing_ok=True)


@dataclass(frozen=True)
class _SizeLimits:
    """The expected size of a download in bytes, if known, and the limit on it."""

    expected: int | None
    limit: int
    limit_key: str
    """Configuration key of the limit."""

    def check_announced(self, n_bytes: int | None) -> None:
        """Raise an error if the size that a server announces is not acceptable."""
        if n_bytes is not None and self.expected is not None and n_bytes != self.expected:
            raise DownloadError(f"size mismatch: {n_bytes} bytes, expected {self.expected}")
        if n_bytes is not None:
            self._check_limit(n_bytes)

    def check_received(self, n_bytes: int) -> None:
        """Raise an error if more bytes have been received than are acceptable."""
        self._check_limit(n_bytes)
        if self.expected is not None and n_bytes > self.expected:
            raise DownloadError(f"size mismatch: more than the expected {self.expected} bytes")

    def _check_limit(self, n_bytes: int) -> None:
        if n_bytes > self.limit:
            raise DownloadError(f"it exceeds the limit of {self.limit} bytes ({self.limit_key})")


def _failure_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _wait_seconds(state: RetryCallState, settings: DownloadSettings) -> float:
    requested = min(getattr(_failure_of(state), "wait_seconds", 0), MAX_WAIT_SECONDS)
    return max(requested, wait_exponential(multiplier=settings.backoff, max=MAX_WAIT_SECONDS)(state))


def _attempt(
    session: requests.Session,
    url: str,
    part: Path,
    settings: DownloadSettings,
    size: _SizeLimits,
    progress_bar: bool,
) -> None:
    try:
        # compressed responses could be neither resumed nor compared with their length
        headers = {"Accept-Encoding": "identity", **_resume_headers(part, url)}
        with session.get(url, headers=headers, stream=True, timeout=settings.timeout) as response:
            if _is_already_complete(response, part):
                return
            offset = _offset_of(response, part)
            total = _total_bytes(response, offset)
            size.check_announced(total)
            if not offset:
                part.write_bytes(b"")
                _save_resume_state(part, url, response)
            disable = None if progress_bar else True
            with tqdm(total=total, initial=offset, unit="B", unit_scale=True, disable=disable) as progress:
                _receive(response, part, size, settings, progress)
    except requests.exceptions.SSLError as error:
        raise DownloadError("TLS error: untrusted certificate, or a server without TLS") from error
    except requests.exceptions.ProxyError as error:
        problem = describe_proxy_error(error)
        # a 4xx status, such as 407 (authentication required), is not transient
        raise (DownloadError if "HTTP 4" in problem else TransientDownloadError)(problem) from error
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError) as error:
        raise TransientDownloadError("timed out" if _is_timeout(error) else "connection failed") from error
    except urllib3.exceptions.ProtocolError as error:
        raise TransientDownloadError("connection interrupted") from error
    except urllib3.exceptions.DecodeError as error:
        part.unlink()
        raise TransientDownloadError("corrupt content encoding") from error
    except requests.TooManyRedirects as error:
        raise DownloadError("too many redirects") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise DownloadError(f"invalid URL or response ({type(error).__name__})") from error


def describe_proxy_error(error: Exception) -> str:
    """Return a description of a proxy error: connection refused, or no response."""
    refusal = re.search(r"Tunnel connection failed: (\d{3})", str(error))
    return f"the proxy refused the connection (HTTP {refusal[1]})" if refusal else "the proxy does not respond"


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError)


def _is_already_complete(response: requests.Response, part: Path) -> bool:
    """Tell whether the part of an earlier run already contains the whole file."""
    if response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not part.exists():
        return False
    return response.headers.get("Content-Range") == f"bytes */{part.stat().st_size}"


def _offset_of(response: requests.Response, part: Path) -> int:
    """Return the position in the file at which the bytes of the response begin."""
    status = response.status_code
    if status == HTTPStatus.PARTIAL_CONTENT and "Range" not in response.request.headers:
        raise DownloadError("unrequested partial response (HTTP 206)")
    if status == HTTPStatus.PARTIAL_CONTENT:
        offset = part.stat().st_size
        if response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            return offset
    if status in {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
        part.unlink(missing_ok=True)
        raise TransientDownloadError("the server cannot resume; restarting from the first byte")
    if status in RETRIABLE_STATUSES:
        raise TransientDownloadError(_status_text(status), _retry_after(response))
    if not response.ok:
        raise DownloadError(_status_text(status))
    return 0


def _status_text(status: int) -> str:
    phrases = {known.value: f" {known.phrase}" for known in HTTPStatus}
    return f"HTTP {status}{phrases.get(status, '')}"


def _retry_after(response: requests.Response) -> float:
    try:
        return urllib3.Retry().get_retry_after(response.raw) or 0
    except urllib3.exceptions.InvalidHeader:
        return 0


def _total_bytes(response: requests.Response, offset: int) -> int | None:
    """Return the size of the whole file in bytes, if the server announces it."""
    length = response.headers.get("Content-Length", "")
    return offset + int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else None


def _receive(
    response: requests.Response, part: Path, size: _SizeLimits, settings: DownloadSettings, progress: tqdm
) -> None:
    with part.open("ab") as file:
        for chunk in _check_speed(_chunks(response, settings), settings):
            file.write(chunk)
            progress.update(len(chunk))
            try:
                size.check_received(file.tell())
            except DownloadError:
                part.unlink()
                raise


def _chunks(response: requests.Response, settings: DownloadSettings) -> Iterator[bytes]:
    """Yield bytes as they arrive, where `iter_content` would wait for a whole chunk of a slow server."""
    while True:
        # with chunked encoding, a server can also send the length of a chunk byte by byte
        with deadline(settings.timeout, response.raw.shutdown) if response.raw.chunked else nullcontext():
            chunk = response.raw.read1(CHUNK_BYTES, decode_content=True)
        if not chunk:
            return
        yield chunk


def _check_speed(chunks: Iterable[bytes], settings: DownloadSettings) -> Iterator[bytes]:
    """Pass chunks on while they arrive fast enough; a slow trickle alone never triggers a timeout."""
    start, received = time.monotonic(), 0
    for chunk in chunks:
        yield chunk
        received += len(chunk)
        seconds = time.monotonic() - start
        if seconds > settings.timeout:
            if received < settings.min_speed * seconds:
                raise TransientDownloadError(
                    f"slower than {settings.min_speed:g} bytes per second (download.min_speed)"
                )
            start, received = time.monotonic(), 0


def _resume_state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _save_resume_state(part: Path, url: str, response: requests.Response) -> None:
    """Store the HTTP validator by which the next attempt can tell whether the file has changed."""
    tag = response.headers.get("ETag", "")
    validator = response.headers.get("Last-Modified") if not tag or tag.startswith("W/") else tag
    if "Content-Encoding" in response.headers:
        validator = None  # the part contains decoded bytes, but the server would count encoded ones
    state = {"url": _url_digest(url), "validator": validator}
    _resume_state_file(part).write_text(json.dumps(state), encoding="utf-8")


def _resume_headers(part: Path, url: str) -> dict[str, str]:
    """Return headers that request the rest of a part, if the server can confirm that it fits."""
    try:
        state = json.loads(_resume_state_file(part).read_text(encoding="utf-8"))
        offset = part.stat().st_size
    except (OSError, ValueError):
        return {}
    validator = state.get("validator")
    if not offset or not validator or state["url"] != _url_digest(url):
        return {}
    return {"Range": f"bytes={offset}-", "If-Range": validator}


def _url_digest(url: str) -> str:
    """Return a digest that identifies a URL without exposing its secrets."""
    return hashlib.sha256(url.encode()).hexdigest()
