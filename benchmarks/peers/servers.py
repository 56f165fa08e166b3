"""The servers that the rivals need: private ports and folders, started for one comparison and removed after it.

PostgreSQL waits for the disk (`fsync=on`), as in production. Redis keeps everything in memory, which is how it is
usually run as a broker. RabbitMQ has its defaults.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from tests.servers import postgres
from tests.servers.guard import Guarded

_DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "128MB"}
_RABBITMQ = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/usr/local/sbin/rabbitmq-server",
    "/opt/homebrew/sbin/rabbitmq-server",
)
_START_SECONDS = 90


class MissingError(RuntimeError):
    """A server's programs are not installed on this machine."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start PostgreSQL; yields the URL of its database `postgres`."""
    with patch.dict(postgres.SETTINGS, _DURABLE):  # the tests' own server does not wait for the disk
        server = postgres.PostgresServer.create()
    try:
        yield server.url
    finally:
        server.remove()


@contextmanager
def redis_server() -> Iterator[str]:
    """Start Redis; yields its URL, without a database number."""
    program = shutil.which("redis-server") or _installed("redis-server", lambda: shutil.which("redis-server"))
    with _folder("redis") as folder:
        port = _free_port()
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
        with _guarded([program, *options], folder, "redis", signal.SIGTERM, port):
            yield f"redis://127.0.0.1:{port}"


@contextmanager
def rabbitmq_server() -> Iterator[str]:
    """Start RabbitMQ; yields its URL."""
    program = _rabbitmq() or _installed("rabbitmq-server", _rabbitmq)
    with _folder("rabbitmq") as folder:
        port, names, nodes = _free_port(), _free_port(), _free_port()
        settings = {
            "HOME": folder,  # for the cookie by which its processes recognise each other
            "ERL_EPMD_PORT": names,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"segue{os.getpid()}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": port,
            "RABBITMQ_DIST_PORT": nodes,
            "RABBITMQ_MNESIA_BASE": folder / "data",
            "RABBITMQ_LOG_BASE": folder / "log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": folder / "plugins",
            "RABBITMQ_PID_FILE": folder / "pid",
        }
        words = ["env", *(f"{name}={value}" for name, value in settings.items())]
        # otherwise it would start its name server as a daemon, which would stay
        with (
            _guarded(
                [*words, shutil.which("epmd") or "epmd", "-address", "127.0.0.1", "-port", str(names)],
                folder, "epmd", signal.SIGTERM, names,
            ),
            _guarded([*words, program], folder, "rabbitmq", signal.SIGTERM, port),
        ):  # fmt: skip
            yield f"amqp://guest:guest@127.0.0.1:{port}//"


def _rabbitmq() -> str | None:
    return next((path for path in _RABBITMQ if Path(path).exists()), None)


def _installed(package: str, find: Callable[[], str | None]) -> str:
    """Install a package if possible; otherwise the error says what to do."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
            subprocess.run(["apt-get", *words], env=environment, check=False, capture_output=True)
    found = find()
    if found is None:
        raise MissingError(f"{package} is not installed on this machine; install it (sudo apt-get install {package})")
    return found


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix=f"segue-{name}-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _guarded(command: list[str], folder: Path, name: str, stop: signal.Signals, port: int) -> Iterator[None]:
    log = folder / f"{name}.out"
    server = Guarded(command, folder=folder, log=log, stop_signal=stop)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(port):
            if not server.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start. Its log ends with:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        server.stop(keep_folder=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
