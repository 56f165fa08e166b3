"""A worker's registration in the database: each life of a worker has a new identity.

A worker that was declared lost begins another life, because its steps now belong to others.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress

import msgspec

from segue.engine.definitions import tell_code
from segue.engine.engine import Engine
from segue.engine.identity import WorkerIdentity
from segue.errors import PASSING_ERRORS
from segue.logs.fields import name_worker
from segue.observing.harmless_log import get_logger
from segue.plan.code_version import CodeVersion
from segue.plan.graph import LimitTerms
from segue.version import __version__
from segue.worker.options import WorkerOptions

logger = get_logger("segue.worker")


class Registration:
    """`identity` is the worker as the database knows it; its id is '' before it is registered.

    `away` is entered around each call of the database.
    """

    def __init__(
        self, engine: Engine, options: WorkerOptions, *, tasks: Sequence[str], limits: Sequence[LimitTerms],
        code: CodeVersion | None, away: AbstractContextManager[object],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._options = options
        self._limits = limits
        self._code = code
        self._away = away
        self.identity = WorkerIdentity(
            id="", name=f"{socket.gethostname()}:{os.getpid()}", queues=tuple(map(engine.stored, options.queues)),
            tasks=tuple(tasks), lease_seconds=options.lease_seconds, run_id=options.run_id, namespace=engine.namespace,
        )  # fmt: skip

    def begin(self) -> None:
        """Register under a new id. Raises the errors of the database."""
        options, code = self._options, self._code
        with self._away:
            identity = msgspec.structs.replace(self.identity, id=self._engine.new_id())
            self._engine.register(
                identity, pool=options.pool, concurrency=options.concurrency, version=__version__, limits=self._limits,
                code_version=None if code is None else code.version,
            )  # fmt: skip
            if code is not None:
                tell_code(self._engine, code)
        self.identity = identity
        name_worker(identity.id)

    def begin_patiently(self, is_to_stop: Callable[[], bool]) -> None:
        """Register; wait for a database that is not up yet, as after a power cut when everything starts together."""
        deadline = time.monotonic() + self._options.patience_seconds
        while True:
            try:
                self.begin()
                return
            except PASSING_ERRORS as error:
                if is_to_stop() or time.monotonic() >= deadline:
                    raise
                logger.warning("%s Trying again for up to %.0f s.", error, deadline - time.monotonic())
            time.sleep(1)

    def begin_again(self) -> None:
        """Continue under a new id after the lease expired.

        Perhaps the process was stopped, perhaps the database's clock jumped: the clock is read again before a lease
        depends on it.
        """
        self._engine.store.forget_clock()
        self.begin()

    def end(self) -> None:
        """Unregister. If that fails now, the lease expires."""
        with suppress(Exception), self._away:
            self._engine.unregister(self.identity)
