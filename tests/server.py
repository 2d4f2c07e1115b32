"""A real HTTP server on this machine that serves files well or badly, as each is told to."""

import gzip
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class File:
    """What is served at a path, and what goes wrong with it."""

    content: bytes
    statuses: list[int] = field(default_factory=list)
    """Answers to the first requests, before the file is served."""
    retry_after: str = ""
    breaks: int = 0
    """How many answers end after half of what they announced."""
    redirect: str = ""
    tag: bool = True
    """Whether an ETag vouches for resuming."""
    gzipped: bool = False
    says_length: bool = True
    drips: bool = False
    """One byte now and then, without end."""
    pause: threading.Event | None = None
    """Stop in the middle until this is set."""
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Files by path, and the requests that came."""

    def __init__(self, port):
        self.address = f"http://127.0.0.1:{port}"
        self.files, self.requests, self.busy, self.busiest = {}, [], 0, 0
        self.lock, self.stopped = threading.Lock(), threading.Event()

    def add(self, path, content=b"", **options):
        self.files[path] = File(content, **options)
        return self.address + path

    def ranges(self, path):
        return [headers.get("Range") for asked, headers in self.requests if asked == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        served = self.server.served
        path = self.path.partition("?")[0]
        with served.lock:
            served.requests.append((path, dict(self.headers)))
            served.busy += 1
            served.busiest = max(served.busiest, served.busy)
        try:
            self._answer(served.files.get(path), served)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with served.lock:
                served.busy -= 1

    def _answer(self, file, served):
        if file is None or file.redirect or file.statuses:
            status = 404 if file is None else file.statuses.pop(0) if file.statuses else 302
            self.send_response(status)
            self.send_header("Content-Length", "0")
            for name, value in file.headers.items() if file is not None else ():
                self.send_header(name, value)
            if file is not None and file.redirect:
                self.send_header("Location", file.redirect)
            if file is not None and file.retry_after:
                self.send_header("Retry-After", file.retry_after)
            self.end_headers()
            return
        content = gzip.compress(file.content) if file.gzipped else file.content
        tag = f'"{sha256(content).hexdigest()[:16]}"'
        begin = 0
        asked = self.headers.get("Range", "")
        if file.tag and asked and self.headers.get("If-Range", tag) == tag:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if begin else 200)
        self.send_header("Content-Type", file.content_type)
        for name, value in file.headers.items():
            self.send_header(name, value)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if file.tag:
            self.send_header("ETag", tag)
        if file.gzipped:
            self.send_header("Content-Encoding", "gzip")
        rest = content[begin:]
        if file.says_length:
            self.send_header("Content-Length", str(len(rest)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self._send(rest, file, served)

    do_HEAD = do_GET  # noqa: N815  named by http.server

    def _send(self, rest, file, served):
        half = len(rest) // 2
        self.close_connection = not file.says_length
        if file.drips:
            while not served.stopped.is_set():
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        elif file.breaks:
            file.breaks -= 1
            self.wfile.write(rest[:half])
            self.close_connection = True
        else:
            self.wfile.write(rest[:half])
            self.wfile.flush()
            if file.pause:
                file.pause.wait(60)
            self.wfile.write(rest[half:])


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that goes away is part of the tests."""


@contextmanager
def running():
    """Run a server in threads of this process."""
    with Quiet(("127.0.0.1", 0), Handler) as server:
        server.served = Server(server.server_port)
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield server.served
        server.served.stopped.set()
        for file in server.served.files.values():
            if file.pause:
                file.pause.set()
        server.shutdown()
