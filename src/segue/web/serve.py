"""Serves the application with uvicorn, until a signal stops it."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Protocol

import uvicorn
from starlette.types import Receive, Scope, Send

from segue.client import Segue
from segue.errors import ConfigError
from segue.loop.systemd import Systemd
from segue.loop.vitals import Pulse
from segue.web.access.local import LOCAL_HOSTS, LocalAccess
from segue.web.app import Application
from segue.web.patience import PatientProtocol
from segue.web.site import Settings, Site

STOPS_WITHIN = 3
"""Seconds that requests get to end when the server stops."""


class Stops(Protocol):
    """Streams that end when the server stops."""

    def stop(self) -> None:
        """End them."""


class Served(Protocol):
    """An application with streams."""

    @property
    def bells(self) -> Stops:
        """Its streams."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""


class Server(uvicorn.Server):
    """A server that ends the streams of pages before it waits for requests to end."""

    def __init__(self, app: Served, *, certificate: str | None = None, key: str | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app, lifespan="off", log_config=None, access_log=False, server_header=False, date_header=True,
                log_level="warning", timeout_graceful_shutdown=STOPS_WITHIN, proxy_headers=False, ws="none",
                ssl_certfile=certificate, ssl_keyfile=key, http=PatientProtocol,
            )
        )  # fmt: skip
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._app.bells.stop()
        await super().shutdown(sockets)


class Service(Server):
    """A server that is a process of its own: systemd hears that it is ready, lives and stops."""

    def __init__(self, app: Served, *, certificate: str | None = None, key: str | None = None) -> None:
        super().__init__(app, certificate=certificate, key=key)
        self._pulse = Pulse("the web server", stale_seconds=0)
        self._systemd = Systemd(self._pulse.live)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self._systemd.__enter__()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        self._pulse.came_round()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._systemd.__exit__()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises ConfigError if that is not possible."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(256)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"Cannot listen on {host}:{port}: {error}. Give another --port; with --port 0 a free one is taken."
        ) from error
    listening.setblocking(False)
    return listening


def serve(app: Served, listening: socket.socket, *, certificate: str | None = None, key: str | None = None) -> None:
    """Serve in the main thread until SIGINT or SIGTERM, which is a success."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn stops, and then raises the signal once more
    with contextlib.suppress(KeyboardInterrupt):
        Service(app, certificate=certificate, key=key).run(sockets=[listening])


@contextlib.contextmanager
def served_locally(segue: Segue, *, port: int = 0) -> Iterator[str]:
    """Serve the pages in a thread, for this machine only and without a login. Yields their address."""
    listening = listen("127.0.0.1", port)
    app = Application(Site(segue, LocalAccess(), Settings(allowed_hosts=LOCAL_HOSTS)))
    with served(app, listening):
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


@contextlib.contextmanager
def served(app: Application, listening: socket.socket) -> Iterator[None]:
    """Serve in a thread, beside a worker."""
    server = Server(app)
    thread = threading.Thread(target=server.run, args=([listening],), name="segue-web", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(STOPS_WITHIN + 2)
