"""RabbitMQ for the tests: found on this machine, and started for as long as it is needed, in a folder of its own."""

from __future__ import annotations

import os
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

START_SECONDS = 60
FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


class RabbitmqMissingError(RuntimeError):
    """No RabbitMQ is on this machine."""

    def __init__(self) -> None:
        super().__init__(
            "The tests of Celery on RabbitMQ need RabbitMQ, and there is none. "
            "Run `make servers` as root on Debian or Ubuntu, or install it (apt-get install rabbitmq-server)."
        )


def find_program() -> str:
    """Return the path of `rabbitmq-server`; raise `RabbitmqMissingError` when there is none.

    Debian's own script in /usr/sbin changes the user and the folders, so the one that it calls is preferred.
    """
    found = shutil.which("rabbitmq-server", path=os.pathsep.join(FOLDERS)) or shutil.which("rabbitmq-server")
    if found is None:
        raise RabbitmqMissingError
    return found


class RabbitmqServer:
    """One private broker, which is no part of a cluster. It may be stopped and started again, on the same port.

    Queues and messages that are durable, as Celery's are, stay until `remove`. It finds a port mapper of its own, or it
    would leave a daemon of Erlang's behind.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="segue-rabbitmq-", dir=temporary_folder()))
        self._port, self._mapper_port, self._own_port = free_port(), free_port(), free_port()
        self._process: Guarded | None = None
        mapper_folder = Path(tempfile.mkdtemp(prefix="segue-epmd-", dir=temporary_folder()))
        self._mapper = Guarded(
            ["epmd", "-address", "127.0.0.1", "-port", str(self._mapper_port)], folder=mapper_folder,
            log=mapper_folder / "log", stop_signal=signal.SIGTERM,
        )  # fmt: skip
        (self._folder / "plugins").write_text("[].\n")
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self._port}\nloopback_users = none\nlog.console = true\n"
            "log.file = false\ndisk_free_limit.absolute = 10MB\nvm_memory_high_watermark.absolute = 512MB\n"
        )

    @property
    def url(self) -> str:
        """As Celery gets it."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}//"

    def start(self) -> None:
        """Start it and wait until it answers."""
        folder = self._folder
        settings = {
            "HOME": str(folder), "RABBITMQ_HOME_DIR": str(folder), "RABBITMQ_NODENAME": f"segue{self._port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"), "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"), "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"), "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(self._own_port), "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        }  # fmt: skip
        command = ["env", *[f"{name}={value}" for name, value in settings.items()], find_program()]
        process = self._process = Guarded(command, folder=folder, log=folder / "output", stop_signal=signal.SIGTERM)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self._port):
            if not process.is_running or time.monotonic() > deadline:
                log = (folder / "output").read_text() if (folder / "output").exists() else ""
                raise RuntimeError(f"RabbitMQ did not start. Its log ends with:\n{log[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it; what is durable stays."""
        if self._process is not None:
            self._process.stop(keep_folder=True)
            self._process = None

    def remove(self) -> None:
        """End it and remove its folder."""
        self.stop()
        self._mapper.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def running_rabbitmq() -> Iterator[str]:
    """The URL of an empty broker."""
    server = RabbitmqServer()
    try:
        server.start()
        yield server.url
    finally:
        server.remove()


def _answers(port: int) -> bool:
    """Whether a broker greets: it answers a protocol header that it does not know with the one that it does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(b"AMQP\x00\x00\x00\x00")
            return client.recv(4) == b"AMQP"
    except OSError:
        return False
