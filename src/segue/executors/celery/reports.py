"""How attempts end in workers that cannot reach the database: as reports in the result backend.

With `install(reports="polled")`, a worker writes down there what it would have recorded in the database, under an id of
the attempt, before Celery stores the task's own result. A follower (follower.py) reads the reports and records them.
An attempt has one report, the first; the report of an older attempt is never looked at.

While an attempt is with a worker, that worker's beats say so (beats.py), under another id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from celery import states
from celery.backends.base import BaseKeyValueStoreBackend, DisabledBackend
from celery.backends.rpc import RPCBackend
from kombu.exceptions import EncodeError

from segue.errors import ConfigError, SerializationError, StoreUnavailableError
from segue.executors.celery.codec import dumps, loads
from segue.model import Attempt, ErrorInfo, Outcome, Verdict
from segue.observing.harmless_log import get_logger

if TYPE_CHECKING:
    from segue.engine.dispatch import SentStep
    from segue.executors.celery.attempt import RetryAsked
    from segue.executors.celery.door import Door
    from segue.executors.celery.publish import StepHeader

logger = get_logger("segue.celery")

READ_AT_ONCE = 500

_encode = msgspec.json.Encoder().encode


class Report(msgspec.Struct, omit_defaults=True):
    """How an attempt ended."""

    outcome: Outcome
    by: str = ""  # the process that ran it
    freed: int = 0  # how many attempts give places of limits back
    retry: str | None = None  # JSON [args, kwargs, options] of the retry that the task asked for


class Beat(msgspec.Struct, omit_defaults=True):
    """That a worker has an attempt. A later one has a higher number."""

    worker: str
    number: int
    is_begun: bool = False


class OutOfReachError(ConfigError, EncodeError):
    """Something needs the database, in a worker that never opens it. To Celery it is a failure of the task."""


def out_of_reach(what: str) -> OutOfReachError:
    """The error for `what`, which needs the database."""
    return OutOfReachError(
        f"{what} needs the database, which a Celery worker never opens with install(reports='polled'). Canvases that a "
        "task applies, self.add_to_chord, and a task that reads or changes self.request.chain, .callbacks or .errbacks "
        "cannot work there. Use self.replace, start the canvas where the database can be reached, or leave out "
        "reports='polled'."
    )


def refuse_backend(backend: Any) -> None:
    """Raise ConfigError for a result backend that other processes cannot read: an object, or what names one."""
    is_named = isinstance(backend, str)
    if isinstance(backend, RPCBackend) or (is_named and backend.partition(":")[0] == "rpc"):
        found = "rpc:// sends each result to one process"
    elif isinstance(backend, DisabledBackend) or (is_named and backend.partition(":")[0] == "disabled"):
        found = "this app has none (disabled://)"
    else:
        return
    raise ConfigError(
        f"install(reports='polled') follows tasks through the result backend, and {found}. Give the app one that every "
        "process can read, such as Celery(..., backend='redis://...')."
    )


def report_id(attempt: Attempt) -> str:
    """Under which id the report of an attempt is in the result backend."""
    run_id, step, number = attempt
    return f"segue-{run_id}-{step}-{number}"


def beat_id(attempt: Attempt) -> str:
    """Under which id the beats of an attempt are there."""
    return f"{report_id(attempt)}-beat"


class Mailbox:
    """What attempts have in the place of the database, in a worker that cannot reach it."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def exchange(
        self, outcomes: Sequence[Outcome], *, freed: int = 0, inline: list[SentStep] | None = None
    ) -> None:  # fmt: skip
        """Report how attempts ended. Raises StoreUnavailableError when the result backend cannot be asked."""
        for outcome in outcomes:
            self._put(Report(outcome, self._door.host, freed))

    def retry(self, header: StepHeader, asked: RetryAsked, error: ErrorInfo, seconds: float) -> None:
        """Report that the task asked to be tried again, or that it failed, if such a message cannot be written."""
        outcome = Outcome(*header.attempt, Verdict.FAILED, error=error, retryable=False, seconds=seconds)
        report = Report(outcome, self._door.host, int(header.holds_places))
        try:
            call = [list(asked.args or ()), asked.kwargs or {}, asked.options]
            report.retry = dumps(call, "what the task wants to be retried with")
        except SerializationError as wrong:
            outcome.error = ErrorInfo(type(wrong).__name__, str(wrong))
        self._put(report)

    def mirror(self) -> None:
        """Nothing: the follower writes the results of what will not run."""

    def give_back(self, header: StepHeader) -> None:
        """Nothing: as long as it is not reported, a message that comes again may run."""

    def is_final(self, attempt: Attempt) -> bool:
        """Unknown here, so False: the follower stores the result of a step that has lost too many workers."""
        return False

    def may_begin(self, header: StepHeader) -> bool:
        """Whether no delivery of this message has ended, as far as the result backend knows."""
        return self._found(header.attempt) is None

    def result_before_death(self, attempt: Attempt) -> str | None:
        """The result, if the process died after it had reported it."""
        found = self._found(attempt)
        return found.outcome.result if found is not None and found.outcome.verdict == Verdict.SUCCEEDED else None

    def _found(self, attempt: Attempt) -> Report | None:
        return read_reports(self._door.app.backend, [attempt]).get(attempt)

    def _put(self, report: Report) -> None:
        attempt = _attempt_of(report.outcome)
        backend = self._door.app.backend
        if not isinstance(backend, BaseKeyValueStoreBackend) and self._found(attempt) is not None:
            return  # those other backends see by themselves that it is there
        with _asking():
            backend.store_result(report_id(attempt), _encode(report).decode(), states.SUCCESS)


@contextmanager
def _asking() -> Iterator[None]:
    """Errors of the result backend are passing ones: what is done is done again later."""
    try:
        yield
    except Exception as error:
        raise StoreUnavailableError(f"The result backend cannot be asked: {error}") from error


def read_reports(backend: Any, attempts: Sequence[Attempt]) -> dict[Attempt, Report]:
    """The reports of those of these attempts that have one. Raises StoreUnavailableError.

    One that cannot be read is a failure of its attempt.
    """
    found: dict[Attempt, Report] = {}
    by_id = {report_id(attempt): attempt for attempt in attempts}
    for id_, text in _texts(backend, list(by_id)):
        attempt = by_id[id_]
        try:
            report = msgspec.json.decode(text, type=Report)
            if _attempt_of(report.outcome) != attempt:
                raise ValueError(f"it is one of {_attempt_of(report.outcome)}")
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            info = ErrorInfo("SerializationError", f"The report of its worker cannot be read: {error}")
            report = Report(Outcome(*attempt, Verdict.FAILED, error=info, retryable=False))
        found[attempt] = report
    return found


def read_beats(backend: Any, attempts: Sequence[Attempt]) -> dict[Attempt, Beat]:
    """The last beats of those of these attempts that have some. Raises StoreUnavailableError."""
    found: dict[Attempt, Beat] = {}
    by_id = {beat_id(attempt): attempt for attempt in attempts}
    for id_, text in _texts(backend, list(by_id)):
        try:
            found[by_id[id_]] = msgspec.json.decode(text, type=Beat)
        except (msgspec.MsgspecError, TypeError) as error:
            logger.debug("A beat of %s cannot be read: %s", by_id[id_], error)
    return found


def put_beat(backend: Any, attempt: Attempt, beat: Beat) -> None:
    """Say that a worker has an attempt. Raises StoreUnavailableError."""
    with _asking():
        backend.store_result(beat_id(attempt), _encode(beat).decode(), states.STARTED)


def forget(backend: Any, attempts: Sequence[Attempt], *, with_beats: Collection[Attempt] = ()) -> None:
    """Remove what is recorded, or let it expire, as results do. `with_beats`: those that may have beats, too."""
    try:
        for attempt in attempts:
            backend.forget(report_id(attempt))
            if attempt in with_beats:
                backend.forget(beat_id(attempt))
    except Exception as error:  # noqa: BLE001 - the backend is away, or keeps what it has
        logger.debug("Reports that are recorded stay in the result backend: %s", error)


def retry_of(report: Report) -> tuple[Any, Any, dict[str, Any]]:
    """The arguments and options of the retry that a report asks for."""
    args, kwargs, options = loads(report.retry or "[[], {}, {}]")
    return args, kwargs, options


def _attempt_of(outcome: Outcome) -> Attempt:
    return outcome.run_id, outcome.step, outcome.attempt


def _texts(backend: Any, ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """What is stored under these ids; in batches, where the backend has them."""
    for first in range(0, len(ids), READ_AT_ONCE):
        some = ids[first : first + READ_AT_ONCE]
        with _asking():
            metas = _metas(backend, some)
        for id_, meta in metas:
            if meta.get("status") != states.PENDING and meta.get("result") is not None:
                yield id_, meta["result"]


def _metas(backend: Any, ids: Sequence[str]) -> list[tuple[str, Mapping[str, Any]]]:
    if isinstance(backend, BaseKeyValueStoreBackend):
        keys = [backend.get_key_for_task(id_) for id_ in ids]
        try:
            values = backend.mget(keys)
        except NotImplementedError:
            values = None
        if values is not None:
            if hasattr(values, "items"):
                values = [values.get(key) for key in keys]
            return [
                (id_, backend.decode_result(value)) for id_, value in zip(ids, values, strict=True) if value is not None
            ]
    if hasattr(backend, "ResultSession") and hasattr(backend, "task_cls"):  # a database
        ids = _stored_among(backend, ids)
    return [(id_, backend.get_task_meta(id_, cache=False)) for id_ in ids]


def _stored_among(backend: Any, ids: Sequence[str]) -> list[str]:
    """Those of these ids under which a database has something. Celery itself asks for one at a time."""
    session = backend.ResultSession()
    try:
        column = backend.task_cls.task_id
        return [id_ for (id_,) in session.query(column).filter(column.in_(ids))]
    finally:
        session.close()
