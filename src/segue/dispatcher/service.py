"""The dispatchers of a process: one thread for each executor, and a row among the workers that says they are alive.

That row is for people only: no step is under its lease, so nothing happens to what is outside if it expires.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from os import getpid
from types import TracebackType

from segue.dispatcher.dispatcher import Dispatcher
from segue.dispatcher.protocol import PolledExecutor
from segue.engine.engine import Engine
from segue.engine.identity import WorkerIdentity
from segue.loop.vitals import Pulse
from segue.observing.harmless_log import get_logger
from segue.plan.pushed import DISPATCHER_POOL, queue_of
from segue.version import __version__

logger = get_logger("segue.dispatcher")

LEASE_SECONDS = 60.0
_JOIN_SECONDS = 10.0


class Dispatchers:
    """While the block runs, these executors get their steps.

    Example::

        with Dispatchers(engine, [Slurm("hpc", folder="/shared/segue")]):
            ...
    """

    def __init__(self, engine: Engine, executors: Sequence[PolledExecutor]) -> None:
        self._engine = engine
        self._executors = executors
        self._is_over = threading.Event()
        self._identity: WorkerIdentity | None = None
        self._threads = [
            threading.Thread(target=self._dispatch, args=(executor,), name=f"segue-{executor.name}", daemon=True)
            for executor in executors
        ]
        self.vitals = Pulse("the dispatcher", stale_seconds=LEASE_SECONDS, others=self._dead)
        self._threads.append(threading.Thread(target=self._keep, name="segue-dispatcher", daemon=True))

    def __enter__(self) -> Dispatchers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)  # what it leaves undone, the next dispatcher finds in the database

    def _dispatch(self, executor: PolledExecutor) -> None:
        Dispatcher(self._engine, executor).run(self._is_over)

    def _keep(self) -> None:
        wait = 0.0
        while not self._is_over.wait(wait):
            wait = LEASE_SECONDS / 3
            self.vitals.came_round()
            try:
                self._say_alive()
                self.vitals.was_answered()
            except Exception as error:  # noqa: BLE001 - the dispatchers themselves go on
                wait = 1.0
                logger.info("the row of this dispatcher was not renewed, trying again: %s", error)
        if self._identity is not None:
            with suppress(Exception):
                self._engine.unregister(self._identity)

    def _dead(self) -> list[str]:
        return [f"the thread {thread.name} has ended" for thread in self._threads if not thread.is_alive()]

    def _say_alive(self) -> None:
        if self._identity is not None:
            self._engine.renew(self._identity)
            return
        queues = tuple(self._engine.stored(queue_of(executor.name)) for executor in self._executors)
        identity = WorkerIdentity(
            id=self._engine.new_id(), name=f"{socket.gethostname()}:{getpid()}", queues=queues, tasks=(),
            lease_seconds=LEASE_SECONDS, namespace=self._engine.namespace,
        )  # fmt: skip
        self._engine.register(identity, pool=DISPATCHER_POOL, concurrency=len(self._executors), version=__version__)
        self._identity = identity
