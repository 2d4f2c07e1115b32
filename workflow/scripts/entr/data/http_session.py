"""HTTP sessions whose timeout also limits how long a server may take to send its headers."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.connectionpool import HTTPConnectionPool


def open_session() -> requests.Session:
    """Return a session in which the TLS handshake and the headers have to be complete within the timeout.

    The timeout of requests applies to each read from the socket, so a server that sends its headers byte by
    byte would never reach it.
    """
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _DeadlineAdapter())
    return session


@contextmanager
def deadline(seconds: float | None, interrupt: Callable[[], object]) -> Iterator[None]:
    """Call a function from another thread if the block takes too long.

    Parameters
    ----------
    seconds : float or None
        Time limit; None for no limit.
    interrupt : callable
        Makes the block end, for example by closing a socket.

    Raises
    ------
    TimeoutError
        If the block was interrupted.
    """
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        interrupt()

    timer = threading.Timer(threading.TIMEOUT_MAX if seconds is None else seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if expired.is_set():
            raise TimeoutError(f"not complete within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
    if expired.is_set():
        raise TimeoutError(f"not complete within {seconds:g} s")


class _DeadlineAdapter(HTTPAdapter):
    """Opens connections with a deadline."""

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> HTTPConnectionPool:
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(request, verify, proxies, cert))
        if not issubclass(pool.ConnectionCls, _Deadline):
            # the class differs between HTTP, HTTPS and proxies
            pool.ConnectionCls = type("DeadlineConnection", (_Deadline, pool.ConnectionCls), {})
        return pool


class _Deadline:
    """Mixin of connections: connecting, and waiting for headers, have to end within the timeout."""

    sock: socket.socket | None
    timeout: float | None

    def connect(self) -> None:
        with deadline(self.timeout, self._interrupt):
            super().connect()  # type: ignore[misc]

    def getresponse(self) -> HTTPResponse:
        with deadline(self.timeout, self._interrupt):
            return super().getresponse()  # type: ignore[misc]

    def _interrupt(self) -> None:
        if self.sock is not None:
            # the method of a TLS socket would also discard the state that the other thread is using
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
