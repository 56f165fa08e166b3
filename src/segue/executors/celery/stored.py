"""Result backends of every kind: those that keep results, those that send them as messages, and none.

`rpc://` sends each result to the queue of the process that asked for it. Only that process can read it, once.
"""

from __future__ import annotations

from typing import Any

from celery.backends.base import DisabledBackend
from celery.backends.rpc import RPCBackend


def expect_replies(app: Any) -> None:
    """Make the queue to which results come as messages, before the first of them is sent."""
    if isinstance(app.backend, RPCBackend):
        with app.producer_or_acquire() as producer, producer.connection._reraise_as_library_errors():
            app.backend.on_task_call(producer, None)


def stored_result(app: Any, task_id: str) -> Any:
    """What the result backend says of a task, if it can be asked by any process; None if not."""
    if isinstance(app.backend, (DisabledBackend, RPCBackend)):
        return None
    return app.backend.get_result(task_id)
