"""An S3 server in the test's own process, on a private port, and a proxy before it that fails as the test says."""

from __future__ import annotations

import logging
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

from segue.payloads import ObjectPayloads

CUT = -1
"""Instead of an answer: half of it, then the connection is closed."""

KEYS = {"access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"}
_BEFORE = ("host", "content-length", "connection", "transfer-encoding")


class Bucket:
    """One bucket. Answers are the server's, or those of `answers`, in order: a status, or CUT."""

    def __init__(self, server_url: str) -> None:
        self.name = f"b{uuid.uuid4().hex[:12]}"
        self.answers: list[int] = []
        self.requests: list[str] = []
        self._server_url = server_url
        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._proxy.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        request = urllib.request.Request(f"{server_url}/{self.name}", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()

    @property
    def options(self) -> dict[str, str]:
        return {**KEYS, "endpoint": f"http://127.0.0.1:{self._proxy.server_port}"}

    @property
    def url(self) -> str:
        return f"s3://{self.name}/segue"

    def store(self, *, retries: int = 1) -> ObjectPayloads:
        return ObjectPayloads(self.url, retries=retries, timeout_seconds=10, **self.options)

    def close(self) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()
        self._thread.join(10)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length) if length else b""
                bucket.requests.append(f"{self.command} {self.path}")
                answer = bucket.answers.pop(0) if bucket.answers else 200
                if answer >= 300:
                    self._say(answer, {}, b"")
                    return
                status, headers, content = bucket.ask(self.command, self.path, dict(self.headers), body)
                self._say(status, headers, content, cut=answer == CUT)

            def _say(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
                self.send_response(status)
                kept = {name: value for name, value in headers.items() if name.lower() not in _BEFORE}
                length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
                for name, value in {**kept, "Content-Length": length}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content[: len(content) // 2] if cut else content)
                if cut:
                    self.close_connection = True

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815 - names of the library

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """What the server answers."""
        kept = {name: value for name, value in headers.items() if name.lower() not in _BEFORE}
        kept.setdefault("Content-Type", "application/octet-stream")  # urllib would call it a form
        request = urllib.request.Request(
            f"{self._server_url}{path}", method=method, headers=kept, data=body if method in ("PUT", "POST") else None
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()


@contextmanager
def serving() -> Iterator[str]:
    """An S3 server; its URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # one line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        with suppress(Exception):
            server.stop()
