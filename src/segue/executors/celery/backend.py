"""The result backend, with a step before each result: the end of the attempt is recorded in the database first.

So a caller who reads SUCCESS in the result backend finds the next steps on their way. While a canvas is captured, a
backend does nothing: durable chords need none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import states
from celery.backends.rpc import RPCBackend
from kombu.exceptions import EncodeError

from segue.errors import SerializationError
from segue.executors.celery.attempt import RunningAttempt, current_attempt
from segue.executors.celery.capture import current_capture
from segue.executors.celery.codec import encode_result, loads
from segue.executors.celery.publish import header_of, sends_steps
from segue.observing.harmless_log import get_logger

logger = get_logger("segue.celery")


class RecordingBackend:
    """Mixed into the class of an app's backend objects. `segue_door` is set on the class."""

    segue_door: Any

    def mark_as_done(self, task_id: str, result: Any, request: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Record a success, then store it."""
        attempt = current_attempt()
        if attempt is not None and attempt.task_id == task_id:
            try:
                text = encode_result(result)
            except SerializationError as error:
                raise EncodeError(str(error)) from error  # Celery makes a failure of that, as it does of its own
            attempt.dispatched(text)
        return super().mark_as_done(task_id, result, request, *args, **kwargs)  # type: ignore[misc]

    def mark_as_failure(self, task_id: str, exc: Any, *args: Any, **kwargs: Any) -> Any:
        """Record a failure, then store it; also for the worker's main process, where a child died."""
        traceback = args[0] if args else kwargs.get("traceback")
        request = args[1] if len(args) > 1 else kwargs.get("request")
        attempt = self._attempt_of(task_id, request)
        if attempt is not None:
            if isinstance(exc, WorkerLostError):
                attempt.lost(exc)
                result = attempt.result_before_death()
                if result is not None:  # it died between that and the storing of its result
                    is_kept = not getattr(request, "ignore_result", False)
                    value = loads(result, self.segue_door.values.fetch)
                    return super().mark_as_done(task_id, value, request, is_kept)  # type: ignore[misc]
                if not self.segue_door.desk.is_final(attempt.header.attempt):
                    return self.mark_as_retry(task_id, exc, traceback, request=request)
            else:
                detour = None
                if attempt.relatives is not None and attempt.relatives.are_shown and request is not None:
                    detour, request.errbacks = attempt.relatives.detour_of_failure(request.errbacks)
                attempt.failed(exc, detour)
        with unseen(attempt, request):
            stored = super().mark_as_failure(task_id, exc, *args, **kwargs)  # type: ignore[misc]
        if attempt is not None:
            attempt.follow_failure(exc, request, traceback)
        return stored

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        """Store a state. A task runs though it cannot be stored that it has started."""
        try:
            return super().store_result(task_id, result, state, *args, **kwargs)  # type: ignore[misc]
        except Exception as error:
            if state != states.STARTED or current_attempt() is None:
                raise
            logger.warning("That %s has started cannot be stored: %s", task_id, error)
            return result

    def mark_as_retry(self, task_id: str, exc: Any, *args: Any, **kwargs: Any) -> Any:
        """Store that the task is tried again. If that fails, it is all the same: Celery would make a failure of it."""
        try:
            return super().mark_as_retry(task_id, exc, *args, **kwargs)  # type: ignore[misc]
        except Exception as error:
            if self._attempt_of(task_id, kwargs.get("request")) is None:
                raise
            logger.warning("That %s is tried again cannot be stored: %s", task_id, error)
            return exc

    def mark_as_revoked(self, task_id: str, reason: str = "", request: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Record that Celery will not run the task, or ended it, then store that."""
        attempt = self._attempt_of(task_id, request)
        if attempt is not None:
            attempt.revoked(reason)
        return super().mark_as_revoked(task_id, reason, request, *args, **kwargs)  # type: ignore[misc]

    def _attempt_of(self, task_id: str, request: Any) -> RunningAttempt | None:
        attempt = current_attempt()
        if attempt is not None and attempt.task_id == task_id:
            return attempt
        header = None if request is None else header_of(vars(request))
        return None if header is None else RunningAttempt(self.segue_door, header, task_id)

    def set_chord_size(self, group_id: str, chord_size: int) -> Any:
        """How many members a chord's body waits for."""
        capture = current_capture()
        if capture is None:
            return super().set_chord_size(group_id, chord_size)  # type: ignore[misc]
        capture.note_chord_size(group_id, chord_size)
        return None

    def ensure_chords_allowed(self) -> None:
        """Durable chords need nothing of a result backend."""
        if current_capture() is None:
            super().ensure_chords_allowed()  # type: ignore[misc]

    def add_pending_result(self, result: Any, *args: Any, **kwargs: Any) -> Any:
        """Only for results that a caller gets. A plan needs no backend, which may be away."""
        capture = current_capture()
        if capture is not None and not (capture.is_outermost and capture.is_awaited):
            return result
        try:
            return super().add_pending_result(result, *args, **kwargs)  # type: ignore[misc]
        except Exception as error:  # a task that replaces itself makes result objects, and waits for none of them
            if current_attempt() is None:
                raise
            logger.warning("The result of %s cannot be listened for: %s", result.id, error)
            return result

    def on_task_call(self, producer: Any, task_id: str) -> Any:
        """A message is sent. Who waits for the result of a step has said so before; others need not listen for it.

        Nor need the backend be there. RPC is the exception: its queue belongs to the broker, and has to exist by now.
        """
        if sends_steps.get() and not isinstance(self, RPCBackend):
            return None
        return super().on_task_call(producer, task_id)  # type: ignore[misc]

    def remove_pending_result(self, result: Any) -> Any:
        """A caller may wait with another result object of the same task; older versions of Celery forget that one."""
        for pending in getattr(self, "_pending_results", ()):
            waiting = pending.get(result.id)
            if waiting is not None and waiting is not result:
                return result
        return super().remove_pending_result(result)  # type: ignore[misc]

    def on_chord_part_return(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """The engine counts the members of durable chords."""
        if request is not None and header_of(vars(request)) is not None:
            return None
        return super().on_chord_part_return(request, *args, **kwargs)  # type: ignore[misc]


@contextmanager
def unseen(attempt: RunningAttempt | None, request: Any) -> Iterator[None]:
    """Let Celery see no stand-ins meanwhile: the engine does for these what Celery does for what it sends itself."""
    if attempt is None or attempt.relatives is None or request is None:
        yield
        return
    before = {name: getattr(request, name) for name in ("chain", "callbacks", "chord")}
    request.update(dict.fromkeys(before))
    try:
        yield
    finally:
        request.update(before)


def recording(backend: Any, door: Any) -> Any:
    """The backend object with this mixed in; once."""
    if not isinstance(backend, RecordingBackend):
        kind = type(backend)
        backend.__class__ = type(kind.__name__, (RecordingBackend, kind), {"segue_door": door})
        backend.apply_chord = _noting_headers(backend.apply_chord)  # a backend that counts has put its own there
    return backend


def _noting_headers(plain: Callable[..., Any]) -> Callable[..., Any]:
    def apply_chord(header_result_args: Any, body: Any, *args: Any, **kwargs: Any) -> Any:
        """A durable chord needs no backend."""
        capture = current_capture()
        if capture is None:
            return plain(header_result_args, body, *args, **kwargs)
        capture.note_header(header_result_args, body)
        return None

    return apply_chord
