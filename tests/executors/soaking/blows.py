"""Blows: what happens to processes, broker, result backend and database while a soak lasts."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import redis
from kombu import Connection

from tests.crash.storm.disturbances import Disturbances, descendants
from tests.executors.tallying import Place, TallyingWorker
from tests.servers.postgres import PostgresServer
from tests.servers.rabbitmq import RabbitmqServer
from tests.servers.redis import RedisServer

FROZEN_SECONDS = (0.5, 8.0)  # the lease is 3 s
AWAY_SECONDS = (0.2, 4.0)


class Broker(Protocol):
    """A broker of the soak's own."""

    @property
    def url(self) -> str:
        """As the workers get it."""

    def restart(self, seconds: float) -> None:
        """Stop it, with all that it holds if it keeps nothing, and start it after these seconds."""

    def flush(self) -> None:
        """Forget every message."""


class RedisBroker:
    """Redis, which keeps nothing on disk: a restart forgets everything, also messages that are not acknowledged."""

    def __init__(self) -> None:
        self.server = RedisServer()

    @property
    def url(self) -> str:
        """As the workers get it."""
        return f"{self.server.url}/0"

    def restart(self, seconds: float) -> None:
        """Stop it, and start it, empty, after these seconds."""
        self.server.stop()
        time.sleep(seconds)
        self.server.start()

    def flush(self) -> None:
        """Forget every message."""
        with contextlib.closing(redis.Redis.from_url(self.url)) as client:
            client.flushdb()


class RabbitBroker:
    """RabbitMQ, which keeps messages on disk: after a restart, those that were not acknowledged come again."""

    def __init__(self, queue: str) -> None:
        self.server = RabbitmqServer()
        self._queue = queue

    @property
    def url(self) -> str:
        """As the workers get it."""
        return self.server.url

    def restart(self, seconds: float) -> None:
        """Stop it, and start it after these seconds."""
        self.server.stop()
        time.sleep(seconds)
        self.server.start()

    def flush(self) -> None:
        """Forget the messages that no worker has."""
        with Connection(self.url) as connection, connection.channel() as channel:
            channel.queue_purge(self._queue)


class Blows:
    """Strikes at random, each kind as often as the others."""

    def __init__(
        self, place: Place, chance: random.Random, broker: Broker, backend: RedisServer, database: PostgresServer | None
    ) -> None:
        self._chance = chance
        self._broker = broker
        self._backend = backend
        self._database = database
        self._of_storm = Disturbances(place.database, chance, database)
        self.counts: Counter[str] = Counter()
        self.stopped: set[int] = set()  # pids of workers that were told to end, or killed
        self._kinds: list[Callable[[TallyingWorker], Any]] = [
            self.child_killed, self.child_frozen, self.main_process_killed, self.worker_killed, self.worker_frozen,
            self.worker_stopped, self.broker_restarted, self.broker_flushed, self.backend_away,
        ]  # fmt: skip
        if database is not None:
            self._kinds += [self.database_restarted, self.connections_ended, self.statements_cancelled]
        else:
            self._kinds += [self.file_locked]

    def strike(self, living: Sequence[TallyingWorker]) -> str:
        """One blow; returns what it was."""
        blow = self._chance.choice(self._kinds)
        name = blow.__name__.replace("_", " ")
        self.counts[name] += 1
        with contextlib.suppress(ProcessLookupError):
            blow(self._chance.choice(living))
        return name

    def child_killed(self, worker: TallyingWorker) -> None:
        below = descendants(worker.process.pid)
        if below:
            os.kill(self._chance.choice(below), signal.SIGKILL)

    def child_frozen(self, worker: TallyingWorker) -> None:
        below = descendants(worker.process.pid)
        if below:
            pid = self._chance.choice(below)
            os.kill(pid, signal.SIGSTOP)
            _after(self._chance.uniform(*FROZEN_SECONDS), _continue, pid)

    def main_process_killed(self, worker: TallyingWorker) -> None:
        self.stopped.add(worker.process.pid)
        worker.process.kill()  # its children are on their own

    def worker_killed(self, worker: TallyingWorker) -> None:
        self.stopped.add(worker.process.pid)
        worker.kill()

    def worker_frozen(self, worker: TallyingWorker) -> None:
        worker.send(signal.SIGSTOP)
        _after(self._chance.uniform(*FROZEN_SECONDS), worker.send, signal.SIGCONT)

    def worker_stopped(self, worker: TallyingWorker) -> None:
        self.stopped.add(worker.process.pid)
        worker.process.terminate()

    def broker_restarted(self, _: TallyingWorker) -> None:
        self._broker.restart(self._chance.uniform(*AWAY_SECONDS))

    def broker_flushed(self, _: TallyingWorker) -> None:
        self._broker.flush()

    def backend_away(self, _: TallyingWorker) -> None:
        self._backend.stop()
        time.sleep(self._chance.uniform(*AWAY_SECONDS))
        self._backend.start()

    def database_restarted(self, _: TallyingWorker) -> None:
        assert self._database is not None
        self._database.stop()
        time.sleep(self._chance.uniform(*AWAY_SECONDS))
        self._database.start()

    def connections_ended(self, worker: Any) -> None:
        self._of_storm.end_connections(worker)

    def statements_cancelled(self, worker: Any) -> None:
        self._of_storm.cancel_statements(worker)

    def file_locked(self, worker: Any) -> None:
        self._of_storm.lock_the_file(worker)


def _after(seconds: float, call: Callable[..., Any], *args: Any) -> None:
    timer = threading.Timer(seconds, call, args)
    timer.daemon = True
    timer.start()


def _continue(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
