"""A real HTTP server on this machine, whose files can be served with errors."""

import gzip
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class File:
    """A served file, and the errors with which it is served."""

    content: bytes
    statuses: list[int] = field(default_factory=list)
    """HTTP status codes of the first responses, before the file is served."""
    retry_after: str = ""
    interruptions: int = 0
    """Number of responses that end after half of the announced bytes."""
    redirect: str = ""
    has_etag: bool = True
    """Whether responses have an ETag, which allows clients to resume."""
    gzipped: bool = False
    has_length: bool = True
    trickles: str = ""
    """Send bytes at intervals, endlessly, as part of the ``headers``, the ``chunk size`` or the ``body``."""
    stays_open: bool = False
    """Leave the connection open after the last byte, without having announced a length."""
    pause: threading.Event | None = None
    """Stop in the middle of a response until this is set."""
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Served files by path, and the requests received."""

    def __init__(self, port):
        self.address = f"http://127.0.0.1:{port}"
        self.files, self.requests, self.concurrent, self.max_concurrent = {}, [], 0, 0
        self.lock, self.stopped = threading.Lock(), threading.Event()

    def add(self, path, content=b"", **options):
        """Serve content at a path, and return its URL."""
        self.files[path] = File(content, **options)
        return self.address + path

    def ranges(self, path):
        """Return the Range header of each request for a path."""
        return [headers.get("Range") for requested, headers in self.requests if requested == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        served = self.server.served
        path = self.path.partition("?")[0]
        with served.lock:
            served.requests.append((path, dict(self.headers)))
            served.concurrent += 1
            served.max_concurrent = max(served.max_concurrent, served.concurrent)
        try:
            self._respond(served.files.get(path), served)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with served.lock:
                served.concurrent -= 1

    do_HEAD = do_GET  # noqa: N815  named by http.server

    def do_CONNECT(self):
        """Refuse HTTPS tunnels, as a proxy that requires authentication does."""
        self._send_status(407)

    def _respond(self, file, served):
        if file is None:
            self._send_status(404)
        elif file.statuses:
            self._send_status(file.statuses.pop(0), file)
        elif file.redirect:
            self._send_status(302, file)
        else:
            self._send_file(file, served)

    def _send_status(self, status, file=None):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if file is not None:
            for name, value in file.headers.items():
                self.send_header(name, value)
            if file.redirect:
                self.send_header("Location", file.redirect)
            if file.retry_after:
                self.send_header("Retry-After", file.retry_after)
        self.end_headers()

    def _send_file(self, file, served):
        content = gzip.compress(file.content) if file.gzipped else file.content
        etag = f'"{sha256(content).hexdigest()[:16]}"'
        begin = 0
        requested = self.headers.get("Range", "")
        if file.has_etag and requested and self.headers.get("If-Range", etag) == etag:
            begin = int(requested.removeprefix("bytes=").rstrip("-"))
        rest = content[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Type", file.content_type)
        if file.trickles == "headers":
            self.flush_headers()
            self._trickle(b"X-Header: x", served)
        elif file.trickles == "chunk size":
            self.send_header("Transfer-Encoding", "chunked")
        for name, value in file.headers.items():
            self.send_header(name, value)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if file.has_etag:
            self.send_header("ETag", etag)
        if file.gzipped:
            self.send_header("Content-Encoding", "gzip")
        if file.has_length:
            self.send_header("Content-Length", str(len(rest)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(rest, file, served)

    def _send_body(self, rest, file, served):
        half = len(rest) // 2
        self.close_connection = not file.has_length
        if file.trickles:
            self._trickle(b"0" if file.trickles == "chunk size" else b"x", served)
        elif file.stays_open:
            self.wfile.write(rest)
            self.wfile.flush()
            served.stopped.wait(60)
        elif file.interruptions:
            file.interruptions -= 1
            self.wfile.write(rest[:half])
            self.close_connection = True
        else:
            self.wfile.write(rest[:half])
            self.wfile.flush()
            if file.pause:
                file.pause.wait(60)
            self.wfile.write(rest[half:])

    def _trickle(self, data, served):
        while not served.stopped.is_set():
            self.wfile.write(data)
            self.wfile.flush()
            time.sleep(0.05)


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Ignore clients that disconnect, which tests do on purpose."""


@contextmanager
def running():
    """Run a server in threads of this process."""
    with QuietServer(("127.0.0.1", 0), Handler) as server:
        server.served = Server(server.server_port)
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield server.served
        server.served.stopped.set()
        for file in server.served.files.values():
            if file.pause:
                file.pause.set()
        server.shutdown()
