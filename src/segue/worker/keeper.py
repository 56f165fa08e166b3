"""Renews the lease of a worker whose own thread runs the tasks, as in `segue.run`.

Such a worker takes no turns while a task runs, and a task may take longer than a lease. Promise: every third of a
lease, a second thread renews it through a separate connection. The worker's next turn reacts to a lost lease.

On SQLite a transactional task holds the only write lock, so nothing can be renewed meanwhile, and no step can be taken
away either. Its transaction renews the lease before it releases the lock (`engine.transactional`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from segue.engine.engine import Engine
from segue.engine.identity import WorkerIdentity
from segue.errors import StoreError
from segue.observing.harmless_log import get_logger

_EXIT_GRACE_SECONDS = 1.0

logger = get_logger("segue.worker")


class LeaseKeeper:
    """Renews a lease while its `with` block lasts.

    Example::

        with LeaseKeeper(engine, lambda: identity):
            run_tasks()
    """

    def __init__(self, engine: Engine, identity: Callable[[], WorkerIdentity]) -> None:
        self._engine = engine
        self._identity = identity  # called each time: a worker that was lost continues under another identity
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="segue-lease", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join(_EXIT_GRACE_SECONDS)

    def _keep(self) -> None:
        while not self._is_over.wait(self._identity().lease_seconds / 3):
            try:
                self._engine.renew(self._identity())
            except StoreError as error:
                logger.info("the lease was not renewed, trying again: %s", error)
            except Exception:
                logger.exception("the lease was not renewed, trying again")
