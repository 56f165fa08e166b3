"""A small HTTP endpoint for probes: `/live` and `/ready`, with 200 or 503 and the reasons as JSON.

It has threads of its own, so it answers while the loop waits. It is meant for the machine or the cluster, not for the
world.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from segue.errors import ConfigError

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

Ask = Callable[[], list[str]]
CLIENT_SECONDS = 5.0  # how long a client may take for its request
_ADVICE = "write HOST:PORT, such as 127.0.0.1:8081, or :8081 for all interfaces"


class Probes:
    """Serves while its `with` block lasts. Raises ConfigError if the address is malformed or taken."""

    def __init__(self, address: str, live: Ask, ready: Ask) -> None:
        self._where = parse_address(address)
        self._asks = {"/live": live, "/ready": ready}
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, also if 0 was asked for."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        try:
            self._server = _make_server(self._where, self._asks)
        except OSError as error:
            host, port = self._where
            raise ConfigError(f"--health {host}:{port} cannot be used: {error.strerror or error}.") from error
        threading.Thread(target=self._server.serve_forever, name="segue-health", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def parse_address(address: str) -> tuple[str, int]:
    """The host and the port. Raises ConfigError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"--health {address!r} is not an address; {_ADVICE}.")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ConfigError(f"--health {address!r} is not an address; write an IPv6 host as [::1]:8081.")
    return host.strip("[]"), int(port)


def _make_server(where: tuple[str, int], asks: dict[str, Ask]) -> ThreadingHTTPServer:
    import socket  # noqa: PLC0415 - with `http.server` it takes milliseconds, and few processes are asked
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415 - as above

    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_SECONDS
        server_version, sys_version = "segue", ""

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            ask = asks.get(self.path.partition("?")[0])
            if ask is None:
                status, document = 404, {"status": "unknown", "problems": ["ask /live or /ready"]}
            else:
                problems = ask()
                status = 503 if problems else 200
                document = {"status": "failing" if problems else "ok", "problems": problems}
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that went away

    return Server(where, Handler)
