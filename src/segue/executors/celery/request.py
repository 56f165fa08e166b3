"""A task's request in the worker's main process: messages of runs that are paused or being ended are turned away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.utils.imports import symbol_by_name
from celery.worker.state import task_ready

from segue.executors.celery.publish import header_of

if TYPE_CHECKING:
    from segue.executors.celery.door import Door


class HaltedRequests:
    """Mixed into the request class of each task. `segue_door` is set on the class."""

    segue_door: Any

    def revoked(self) -> bool:
        """Asked before a message is given to the pool: whether it is not to run."""
        header = header_of(self._request_dict)  # type: ignore[attr-defined]
        if header is not None and self.segue_door.turn_away(header):
            task_ready(self)
            self.acknowledge()  # type: ignore[attr-defined]
            self._already_revoked = True
            return True
        return bool(super().revoked())  # type: ignore[misc]


def halting(door: Door, request: Any) -> type:
    """The request class of a task, which may be named by a text, with this mixed in; once."""
    kind: type = symbol_by_name(request)
    if issubclass(kind, HaltedRequests):
        return kind
    return type(kind.__name__, (HaltedRequests, kind), {"segue_door": door})
