"""`WorkflowMiddleware`: Segue's own, with the arguments that dramatiq-workflow's has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dramatiq

from segue import Run, Segue
from segue.compat.dramatiq_workflow._barrier import AtMostOnceBarrier
from segue.compat.dramatiq_workflow._storage import CallbackStorage, InlineCallbackStorage
from segue.executors.dramatiq import SegueMiddleware
from segue.given import shown


class WorkflowMiddleware(SegueMiddleware):
    """Connects a broker to a database: `segue`, or the one that SEGUE_DATABASE_URL names.

    The rate limiter backend, the barrier type and the callback storage are kept as attributes. Nothing is stored in
    them: the database counts groups, and messages have no callbacks. Raises TypeError for a backend or a barrier that
    is none, and ConfigError without a database.
    """

    def __init__(
        self, rate_limiter_backend: Any, barrier_type: Callable[..., Any] = AtMostOnceBarrier,
        callback_storage: CallbackStorage[Any] | None = None, *, segue: Segue | None = None, **options: Any,
    ) -> None:  # fmt: skip
        if not all(callable(getattr(rate_limiter_backend, name, None)) for name in ("add", "incr", "decr")):
            raise TypeError(
                f"WorkflowMiddleware was given {shown(rate_limiter_backend)} as its rate limiter backend. Give one of "
                "dramatiq.rate_limits.backends, as for dramatiq-workflow; Segue itself needs SegueMiddleware(segue)."
            )
        if not callable(barrier_type):
            raise TypeError(f"WorkflowMiddleware was given barrier_type={shown(barrier_type)}, which is no class.")
        self.segue = Segue() if segue is None else segue
        super().__init__(self.segue, **options)
        self.rate_limiter_backend = rate_limiter_backend
        self.barrier_type = barrier_type
        self.callback_storage = callback_storage or InlineCallbackStorage()

    def start(self, broker: dramatiq.Broker, work: Any) -> Run:
        """Start a composition."""
        self.door.broker = broker
        return self.segue.start(work)
