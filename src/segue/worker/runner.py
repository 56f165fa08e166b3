"""One attempt, from job to outcome: find the task, type its arguments, call it, say how it ended.

Whatever a task raises becomes an outcome; only `Cancelled`, by which a pool ends an attempt early, gets through.
"""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from collections.abc import Callable
from inspect import isawaitable
from types import TracebackType
from typing import Any

import msgspec

from segue.authoring import registry, values
from segue.authoring.context import Cancelled, Context, use
from segue.authoring.task import is_retryable
from segue.authoring.workflow import is_plan, to_plan
from segue.engine.transactional import TaskTransactions
from segue.errors import DefinitionError, ResultTooLargeError, Retry, Skip
from segue.model import ErrorInfo, Job, Outcome, Progress, Verdict
from segue.plan import codec
from segue.plan.graph import Plan
from segue.worker.transactional import OnReturn, run_in_transaction

RESULT_LIMIT_BYTES = 16 * 2**20
TRACEBACK_LIMIT_BYTES = 16 * 1024
MESSAGE_LIMIT_BYTES = 4 * 1024
PROGRESS_INTERVAL_SECONDS = 0.5

Report = Callable[[Progress], None]

_OWN_FOLDERS = tuple(os.path.dirname(os.path.abspath(path)) + os.sep for path in (__file__, registry.__file__) if path)


def run_job(
    job: Job,
    *,
    report: Report | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    result_limit_bytes: int = RESULT_LIMIT_BYTES,
    let_through: tuple[type[BaseException], ...] = (),
    transactions: TaskTransactions | None = None,
    on_return: OnReturn | None = None,
) -> Outcome:
    """Run one attempt here and now; an `async def` task gets an event loop of its own.

    `report` is called with progress at most twice a second, and with the last one. When `is_cancelled` says so, the
    next `progress` of the task raises `Cancelled`. Exceptions of the classes `let_through` are not caught.
    Transactional tasks need `transactions`; `on_return` is called before their outcome is recorded.

    Example::

        outcome = run_job(job)
        assert outcome.verdict == Verdict.SUCCEEDED
    """
    attempt = _Attempt(job, report, is_cancelled, result_limit_bytes)
    if attempt.is_transactional:
        return run_in_transaction(attempt, transactions, on_return, let_through)
    try:
        value = attempt.run()
    except Cancelled:
        raise
    except BaseException as exc:  # SystemExit and KeyboardInterrupt of a task end the attempt, no more
        if isinstance(exc, let_through):
            raise
        return attempt.failed(exc)
    return attempt.succeeded(value)


async def run_job_async(
    job: Job,
    *,
    report: Report | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    result_limit_bytes: int = RESULT_LIMIT_BYTES,
) -> Outcome:
    """`run_job` for an `async def` task, on the running event loop; being cancelled gets through."""
    attempt = _Attempt(job, report, is_cancelled, result_limit_bytes)
    try:
        with use(attempt.context):
            value = attempt.call()
            if isawaitable(value):
                value = await value
    except (Cancelled, asyncio.CancelledError):
        raise
    except BaseException as exc:  # noqa: BLE001 - as above
        return attempt.failed(exc)
    return attempt.succeeded(value)


class _Attempt:
    """What one attempt needs to remember."""

    __slots__ = (
        "_began",
        "_job",
        "_report",
        "_reported_at",
        "_result_limit_bytes",
        "_task",
        "_withheld",
        "context",
    )

    def __init__(
        self, job: Job, report: Report | None, is_cancelled: Callable[[], bool] | None, result_limit_bytes: int
    ) -> None:
        self._began = time.perf_counter()
        self._job = job
        self._report = report
        self._result_limit_bytes = result_limit_bytes
        self._reported_at = float("-inf")
        self._withheld: Progress | None = None
        self._task = registry.tasks.get(job.task)  # None when nobody knows it
        self.context = Context(
            job.run_id,
            job.step,
            job.attempt,
            job.name,
            job.task,
            self._on_progress,
            job.failures,
            job.timeout,
            is_cancelled or _never,
        )

    @property
    def key(self) -> tuple[str, int, int]:
        """Which one it is."""
        return (self._job.run_id, self._job.step, self._job.attempt)

    @property
    def is_transactional(self) -> bool:
        """Whether its outcome is recorded in the transaction in which the task writes."""
        return self._task is not None and self._task.transactional

    def is_to_end(self) -> bool:
        """Whether the pool has asked it to end."""
        return self.context.cancelled()

    def run(self, connection: Any = None) -> Any:
        """Call the task; a coroutine is awaited on an event loop of its own."""
        with use(self.context):
            value = self.call(connection)
            return asyncio.run(_awaited(value)) if isawaitable(value) else value

    def call(self, connection: Any = None) -> Any:
        """Find the task and call it; a coroutine function gives a coroutine."""
        job = self._job
        task = registry.find_task(job.task)
        args, kwargs = values.decode_arguments(task, job.args, job.holes, job.values)
        return task.fn(*args, **kwargs) if connection is None else task.call_with(connection, args, kwargs)

    def succeeded(self, value: Any) -> Outcome:
        """The outcome of a task that returned; failed when what it returned cannot be kept."""
        try:
            expands = is_plan(value)
            text = codec.encode(_expansion(value)) if expands else values.encode(value)
            if len(text) > self._result_limit_bytes:
                raise ResultTooLargeError(
                    f"The result of {self._job.task} is {len(text):,} bytes of JSON, more than the limit of "
                    f"{self._result_limit_bytes:,}; store it elsewhere and return where it is."
                )
        except Exception as exc:  # noqa: BLE001 - `__iter__` and the like of the value are the user's code
            return self.failed(exc)
        verdict = Verdict.EXPANDED if expands else Verdict.SUCCEEDED
        return self._outcome(verdict, result=text)

    def failed(self, exc: BaseException) -> Outcome:
        """The outcome of a task that raised."""
        try:
            error = describe(exc)
        except Exception:  # noqa: BLE001 - a broken exception class must not cost the outcome
            error = ErrorInfo(type(exc).__qualname__, "(the exception could not be described)")
        if isinstance(exc, Skip):
            return self._outcome(Verdict.SKIPPED, error=error, retryable=False)
        retry_after = exc.after if isinstance(exc, Retry) else None
        return self._outcome(Verdict.FAILED, error=error, retryable=self._is_retryable(exc), retry_after=retry_after)

    def released(self, exc: Exception) -> Outcome:
        """The outcome of an attempt that could not begin."""
        return self._outcome(Verdict.RELEASED, error=describe(exc))

    def _is_retryable(self, exc: BaseException) -> bool:
        if isinstance(exc, ResultTooLargeError):
            return False
        return self._task is None or is_retryable(self._task, exc)

    def _outcome(
        self,
        verdict: Verdict,
        *,
        result: str | None = None,
        error: ErrorInfo | None = None,
        retryable: bool = True,
        retry_after: float | None = None,
    ) -> Outcome:
        if self._withheld is not None and self._report is not None:
            self._report(self._withheld)
        job = self._job
        seconds = time.perf_counter() - self._began
        return Outcome(job.run_id, job.step, job.attempt, verdict, result, error, retryable, retry_after, "", seconds)

    def _on_progress(self, done: float, total: float | None, message: str) -> None:
        if self._report is None:
            return
        job = self._job
        progress = Progress(job.run_id, job.step, job.attempt, done, total, _clean(message, MESSAGE_LIMIT_BYTES))
        now = time.perf_counter()
        if now - self._reported_at < PROGRESS_INTERVAL_SECONDS:
            self._withheld = progress
            return
        self._withheld = None
        self._reported_at = now
        self._report(progress)


def describe(exc: BaseException) -> ErrorInfo:
    """An exception as text: its type, its message, its traceback without Segue's own frames, all bounded."""
    cls = type(exc)
    name = (
        cls.__qualname__ if cls.__module__ in ("builtins", "segue.errors") else f"{cls.__module__}.{cls.__qualname__}"
    )
    try:
        message = str(exc)
    except Exception as broken:  # noqa: BLE001 - the user's __str__
        message = f"(its __str__ raised {type(broken).__name__})"
    try:
        lines = traceback.format_exception(cls, exc, _user_frames(exc.__traceback__))
        text = "".join(lines)
    except Exception as broken:  # noqa: BLE001 - the user's __str__, __cause__ or source files
        text = f"(the traceback could not be written: {type(broken).__name__})"
    return ErrorInfo(name, _clean(message, MESSAGE_LIMIT_BYTES), _clean(text, TRACEBACK_LIMIT_BYTES))


def _expansion(value: Any) -> Plan:
    """The plan that a task returned."""
    plan = to_plan(value)
    if plan.fail_fast:
        raise DefinitionError(
            f"{plan.name} has fail_fast=True, which ends a whole run at once, but it was returned by a task; "
            "start it by itself, or give fail_fast to the workflow that the run was started with"
        )
    if plan.terms is not None and (plan.terms.deadline is not None or plan.terms.sla is not None):
        raise DefinitionError(
            f"{plan.name} has a deadline or an SLA, which are about a whole run, but it was returned by a task; "
            "start it by itself, or give them to the workflow that the run was started with"
        )
    return msgspec.structs.replace(plan, terms=None)  # what is left of them is about a run, and this is a part of one


async def _awaited(value: Any) -> Any:
    return await value


def _never() -> bool:
    return False


def _user_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is not ours; all of it when there is no other."""
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_OWN_FOLDERS):
        found = found.tb_next
    return found if found is not None else trace


def _clean(text: str, limit_bytes: int) -> str:
    """Text that every database holds and that is not too long; the middle is cut out, because both ends tell most."""
    data = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace")  # PostgreSQL searches errors, and has no NUL
    if len(data) <= limit_bytes:
        return data.decode()
    half = limit_bytes // 2 - 20
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{head}\n[... cut ...]\n{tail}"
