"""A small HTTP server for a few pages: probes and metrics.

It is meant for the machine or the cluster, not for the world. It has threads of its own, so it answers while the loop
waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Self

from segue.errors import ConfigError
from segue.observing.harmless_log import get_logger

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

CLIENT_SECONDS = 5.0  # how long a client may take for its request

logger = get_logger("segue.http")


class Answer(NamedTuple):
    """What a client gets."""

    status: int
    content_type: str
    body: bytes


Page = Callable[[], Answer]


class SmallServer:
    """Serves while its `with` block lasts. Raises ConfigError if the address is malformed or taken.

    `option` is what the user wrote the address for, such as `--health`. `otherwise` answers all other paths.
    """

    def __init__(
        self, option: str, address: str, pages: Mapping[str, Page], *, otherwise: Page, port: int = 8081
    ) -> None:  # fmt: skip
        self._option = option
        self._where = parse_address(address, option, port)
        self._pages = pages
        self._otherwise = otherwise
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, also if 0 was asked for."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        try:
            self._server = _make_server(self._where, self._pages, self._otherwise)
        except OSError as error:
            host, port = self._where
            raise ConfigError(f"{self._option} {host}:{port} cannot be used: {error.strerror or error}.") from error
        name = f"segue-{self._option.lstrip('-')}"
        threading.Thread(target=self._server.serve_forever, name=name, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def parse_address(address: str, option: str = "--health", example: int = 8081) -> tuple[str, int]:
    """The host and the port. Raises ConfigError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        advice = f"write HOST:PORT, such as 127.0.0.1:{example}, or :{example} for all interfaces"
        raise ConfigError(f"{option} {address!r} is not an address; {advice}.")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ConfigError(f"{option} {address!r} is not an address; write an IPv6 host as [::1]:{example}.")
    return host.strip("[]"), int(port)


def _make_server(where: tuple[str, int], pages: Mapping[str, Page], otherwise: Page) -> ThreadingHTTPServer:
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
            answer = _answered(pages.get(self.path.partition("?")[0], otherwise))
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if with_body:
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that went away

    return Server(where, Handler)


def _answered(page: Page) -> Answer:
    """The page; 503 if it cannot be made now, as when the database is away. Why is said in the log only."""
    try:
        return page()
    except Exception as error:  # noqa: BLE001 - the server goes on
        logger.warning("a page cannot be made: %s", error)
        return Answer(503, "text/plain; charset=utf-8", b"it cannot be made now; see the log\n")
