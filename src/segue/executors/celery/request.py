"""A task's request in the worker's main process.

Messages of runs that are paused or being ended are turned away, and a second delivery of a message that is with the
pool. A task that is terminated has ended when its process has, not when it was asked to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from billiard.common import TERM_SIGNAME
from billiard.exceptions import Terminated, WorkerLostError
from celery.platforms import signals
from celery.utils.imports import symbol_by_name
from celery.worker.state import reserved_requests, task_ready

from segue.executors.celery.door import find_door
from segue.executors.celery.publish import header_of
from segue.model import Attempt

if TYPE_CHECKING:
    from segue.executors.celery.door import Door


class HaltedRequests:
    """Mixed into the request class of each task. `segue_door` is set on the class."""

    segue_door: Any
    _terminated_by: int | None = None
    _already_revoked: bool

    @property
    def is_terminated(self) -> bool:
        """Whether its process was asked to end."""
        return self._terminated_by is not None

    @property
    def _door(self) -> Any:
        return find_door(self._app) or self.segue_door  # type: ignore[attr-defined]  # apps may share a class of tasks

    def revoked(self) -> bool:
        """Asked before a message is given to the pool: whether it is not to run."""
        header = header_of(self._request_dict)  # type: ignore[attr-defined]
        door = self._door
        if header is not None and header.attempt in door.to_end and not self._already_revoked:
            self._announce_revoked("revoked", False, None, False)  # type: ignore[attr-defined]
            return True
        if header is not None and (door.halts.turn_away(header.attempt) or self._is_second(header.attempt)):
            task_ready(self)
            self.acknowledge()  # type: ignore[attr-defined]
            self._already_revoked = True
            return True
        return bool(super().revoked())  # type: ignore[misc]

    def _is_second(self, attempt: Attempt) -> bool:
        """Whether another delivery of this message is with the pool of this worker; if not, this one is from now on."""
        with_pool = self._door.with_pool
        before = with_pool.get(attempt)
        if before is not None and before is not self and before in reserved_requests:
            return True
        with_pool[attempt] = self
        return False

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """End the process of a task that runs; Celery would say at once that it was revoked."""
        if not self.time_start or header_of(self._request_dict) is None:  # type: ignore[attr-defined]
            super().terminate(pool, signal)  # type: ignore[misc]
            return
        number = signals.signum(signal or TERM_SIGNAME)
        pool.terminate_job(self.worker_pid, number)  # type: ignore[attr-defined]
        self._terminated_by = number

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """The task failed, or its process is gone: then it was revoked, if it was to be terminated."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        is_gone = isinstance(error, (Terminated, SystemExit, WorkerLostError))
        if is_gone and self._terminated_by is None and self._would_come_again:
            self._lost(error)
            return None
        if self._terminated_by is None or not is_gone:
            return super().on_failure(exc_info, *args, **kwargs)  # type: ignore[misc]
        self._announce_revoked("terminated", True, self._terminated_by, False)  # type: ignore[attr-defined]
        return None

    @property
    def _would_come_again(self) -> bool:
        """Whether Celery would put the message back into the queue now that the process of its task is gone."""
        task = self.task  # type: ignore[attr-defined]
        is_of_step = header_of(self._request_dict) is not None  # type: ignore[attr-defined]
        is_over = self._already_cancelled or self._already_revoked  # type: ignore[attr-defined]
        return bool(is_of_step and not is_over and task.acks_late and task.reject_on_worker_lost)

    def _lost(self, error: BaseException) -> None:
        """The engine sends the step again, as often as it may be lost. Its old message would be turned away."""
        task_ready(self)
        lost = error if isinstance(error, WorkerLostError) else WorkerLostError(f"Worker exited prematurely: {error!r}")
        self.task.backend.mark_as_failure(  # type: ignore[attr-defined]
            self.id, lost, request=self._context, store_result=self.store_errors,  # type: ignore[attr-defined]
        )  # fmt: skip
        self.acknowledge()  # type: ignore[attr-defined]

    def _retry_worker_lost(self, *args: Any) -> Any:
        """Celery's own retry after a loss, if a project asks for it; the engine makes that of its steps."""
        if header_of(self._request_dict) is not None:  # type: ignore[attr-defined]
            return False
        return super()._retry_worker_lost(*args)  # type: ignore[misc]


def halting(door: Door, request: Any) -> type:
    """The request class of a task, which may be named by a text, with this mixed in; once."""
    kind: type = symbol_by_name(request)
    if issubclass(kind, HaltedRequests):
        return kind
    return type(kind.__name__, (HaltedRequests, kind), {"segue_door": door})
