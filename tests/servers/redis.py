"""Redis for the tests: found on this machine, and started for as long as it is needed, with nothing on disk."""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.folders import temporary_folder
from tests.servers.guard import Guarded
from tests.servers.ports import free_port

START_SECONDS = 20


class RedisMissingError(RuntimeError):
    """No Redis is on this machine."""

    def __init__(self) -> None:
        super().__init__(
            "The tests of the Celery executor need Redis, and there is none. "
            "Run `make servers` as root on Debian or Ubuntu, or install it (apt-get install redis-server)."
        )


def find_program() -> str:
    """Return the path of `redis-server`; raise `RedisMissingError` when there is none."""
    found = shutil.which("redis-server") or shutil.which("redis-server", path="/usr/sbin:/usr/local/bin")
    if found is None:
        raise RedisMissingError
    return found


class RedisServer:
    """One private server with nothing on disk. After a stop it may be started again: on the same port, and empty.

    Example::

        server = RedisServer()
        server.start()
        server.stop()
    """

    def __init__(self) -> None:
        self._port = free_port()
        self._process: Guarded | None = None

    @property
    def url(self) -> str:
        """Its URL, without the number of a database at its end."""
        return f"redis://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        folder = Path(tempfile.mkdtemp(prefix="segue-redis-", dir=temporary_folder()))
        command = [find_program(), "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        process = self._process = Guarded(command, folder=folder, log=folder / "log", stop_signal=signal.SIGTERM)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self._port):
            if not process.is_running or time.monotonic() > deadline:
                log = (folder / "log").read_text()[-2000:]
                self.stop()
                raise RuntimeError(f"Redis did not start. Its log ends with:\n{log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, with all that it held."""
        if self._process is not None:
            self._process.stop()
            self._process = None


@contextmanager
def running_redis() -> Iterator[str]:
    """The URL of an empty server, without the number of a database at its end."""
    server = RedisServer()
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
    except OSError:
        return False
