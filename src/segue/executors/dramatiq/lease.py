"""The row of a worker process among Segue's workers, and the lease that covers the attempts that it runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from segue.engine.identity import WorkerIdentity
from segue.model import Attempt
from segue.observing.harmless_log import get_logger
from segue.version import __version__

if TYPE_CHECKING:
    from segue.executors.dramatiq.door import Door

logger = get_logger("segue.dramatiq")

BEAT_SECONDS = 5.0
LEASE_SECONDS = 30.0  # at most


class Lease:
    """Registered when it is first renewed, and again under a new id when the process was declared lost."""

    def __init__(self, door: Door, *, concurrency: int) -> None:
        self._door = door
        self._concurrency = concurrency
        self._seconds = min(LEASE_SECONDS, door.lease_seconds)
        self._identity = self._new_identity("")
        self._is_registered = False

    @property
    def worker_id(self) -> str:
        """The id of the process; empty before the first renewal."""
        return self._identity.id

    @property
    def beat_seconds(self) -> float:
        """How often to renew it."""
        return min(BEAT_SECONDS, self._seconds / 4)

    def renew(self, known: Collection[Attempt], *, is_ending: bool) -> None:
        """Renew it. Attempts that the database assigns to this process, and that are not `known`, are given back."""
        engine = self._door.engine
        if not self._is_registered:
            self._identity = self._new_identity(engine.new_id())
            engine.register(self._identity, pool=self._door.name, concurrency=self._concurrency, version=__version__)
            self._is_registered = True
        else:
            engine.release_unknown(self._identity.id, set(known))
        until = engine.store.now() + timedelta(seconds=self._seconds)
        with engine.store.transaction() as tx:
            kept = tx.all(
                "heartbeat", worker_id=self._identity.id, now=engine.store.now(),
                status="stopping" if is_ending else "running", sleeping=True, lease_until=until,
            )  # fmt: skip
        if not kept:
            logger.warning("This process was declared lost; it goes on under a new id")
            self._is_registered = False
            self.renew(known, is_ending=is_ending)

    def give_back(self) -> None:
        """The process has ended: its remaining attempts become claimable with the next rescue."""
        if self._is_registered:
            self._door.engine.unregister(self._identity)

    def _new_identity(self, id_: str) -> WorkerIdentity:
        return WorkerIdentity(
            id=id_, name=f"{socket.gethostname()}:{os.getpid()}", queues=(), tasks=(), lease_seconds=self._seconds,
            namespace=self._door.namespace,
        )  # fmt: skip
