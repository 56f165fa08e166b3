"""An HTTP server in the test's own process that receives webhooks, and answers as the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

WAIT_SECONDS = 30.0
HANG_UP = 0
"""Instead of a status: read all of the request, then close the connection without a word."""

HOLD = 1
"""Answer 200 when `go` is set, and not before."""


class Received(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Keeps what it receives. Its answers are those of `answers`, in order, then 200."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[int | tuple[int, dict[str, str]]] = []
        self.received: list[Received] = []
        self.go = threading.Event()
        self._news = threading.Condition()

    def take(self, request: Received) -> tuple[int, dict[str, str]]:
        with self._news:
            self.received.append(request)
            self._news.notify_all()
            answer = self.answers.pop(0) if self.answers else 200
        if answer == HOLD:
            self.go.wait(WAIT_SECONDS)
            answer = 200
        return answer if isinstance(answer, tuple) else (answer, {})

    def wait_for(self, count: int, timeout: float = WAIT_SECONDS) -> list[Received]:
        """Wait until so many requests have come."""
        with self._news:
            came = self._news.wait_for(lambda: len(self.received) >= count, timeout)
        assert came, f"{len(self.received)} of {count} requests came within {timeout:g} s"
        return self.received

    def keys(self) -> Iterable[str]:
        return [request.headers["Idempotency-Key"] for request in self.received]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers = receiver.take(Received(self.path, dict(self.headers.items()), body))
            if status == HANG_UP:
                self.close_connection = True
                return
            with suppress(OSError):  # who asked may be dead by now
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(f"said {status}".encode())

        def log_message(self, *_: Any) -> None:
            """Nothing: the test keeps everything."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.go.set()
        server.shutdown()
        server.server_close()
        thread.join()
