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


@contextmanager
def running_redis() -> Iterator[str]:
    """The URL of an empty server, without the number of a database at its end."""
    folder = Path(tempfile.mkdtemp(prefix="segue-redis-", dir=temporary_folder()))
    port = free_port()
    command = [find_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = Guarded(command, folder=folder, log=folder / "log", stop_signal=signal.SIGTERM)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if not process.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"Redis did not start. Its log ends with:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.stop()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
    except OSError:
        return False
