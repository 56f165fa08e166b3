"""`WorkflowMiddleware`: Segue's own, with the arguments that dramatiq-workflow's has.

Messages that dramatiq-workflow itself has sent carry the rest of their workflow. When one of them succeeds, its barrier
is counted down as ever. What follows then is a run of Segue; its last step is a message that carries on with the rest.
So a project may change its imports while workflows are under way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dramatiq

from segue import Run, Segue
from segue.compat.dramatiq_workflow._barrier import AtMostOnceBarrier
from segue.compat.dramatiq_workflow._constants import CALLBACK_BARRIER_TTL, OPTION_KEY_CALLBACKS
from segue.compat.dramatiq_workflow._serialize import unserialize_workflow
from segue.compat.dramatiq_workflow._storage import CallbackStorage, InlineCallbackStorage
from segue.executors.dramatiq import SegueMiddleware, flow
from segue.given import shown

NOOP = "workflow_noop"


class WorkflowMiddleware(SegueMiddleware):
    """Connects a broker to a database: `segue`, or the one that SEGUE_DATABASE_URL names.

    The rate limiter backend, the barrier type and the callback storage are used for messages that dramatiq-workflow
    has left in the broker. Otherwise the database counts groups, and messages have no callbacks. Raises TypeError for
    a backend or a barrier that is none, and ConfigError without a database.
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
        self.callback_storage: CallbackStorage[Any] = callback_storage or InlineCallbackStorage()

    def start(self, broker: dramatiq.Broker, work: Any) -> Run:
        """Start a composition."""
        self.door.broker = broker
        return self.segue.start(work)

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        """See `SegueMiddleware`. Also declares the actor that carries on with workflows of dramatiq-workflow."""
        super().before_worker_boot(broker, worker)
        if NOOP not in broker.actors:
            dramatiq.actor(_noop, actor_name=NOOP, broker=broker)

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:  # fmt: skip
        """See `SegueMiddleware`. Carries on with a workflow of dramatiq-workflow."""
        super().after_process_message(broker, message, result=result, exception=exception)
        ref = message.options.get(OPTION_KEY_CALLBACKS)
        if ref is not None and exception is None and not message.failed:
            self._carry_on(broker, list(self.callback_storage.retrieve(ref)))

    def _carry_on(self, broker: Any, callbacks: list[Any]) -> None:
        """Count down the barriers, from the inside out, until one is not passed, or something follows."""
        while callbacks:
            completion_id, rest, propagates = callbacks[-1]
            barrier = self.barrier_type(self.rate_limiter_backend, completion_id, ttl=CALLBACK_BARRIER_TTL)
            if not barrier.wait(block=False):
                return
            callbacks = callbacks[:-1]
            if rest is None:
                continue
            then: Any = None
            if callbacks:
                options = {OPTION_KEY_CALLBACKS: self.callback_storage.store(callbacks), "pipe_ignore": True}
                then = broker.get_actor(NOOP).message_with_options(**options)
            self.door.broker = broker
            work = flow(unserialize_workflow(rest), name="dramatiq-workflow", on_success=then)
            self.segue.start(work, key=completion_id)
            if not propagates:
                return


def _noop() -> None:
    """Do nothing: the message carries on with its workflow."""
