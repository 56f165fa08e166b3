"""One attempt, from job to outcome: find the task, convert its arguments, call it, report how it ended.

Everything that a task raises or returns becomes an outcome, and so do exceptions of the user's code that runs when its
objects are examined. Only `Cancelled` gets through, and only if the pool has asked the attempt to end: a task that
raises `Cancelled` by itself fails like any other.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from time import perf_counter  # by name: a task may replace `time.perf_counter`
from typing import Any

from segue.attempt import outcomes
from segue.attempt.beside import call_apart, run_on_loop
from segue.attempt.outcomes import RESULT_LIMIT_BYTES
from segue.attempt.secrets import hide_in, hide_in_error, secrets_of
from segue.attempt.transactional import OnReturn, run_in_transaction
from segue.authoring import declared, values
from segue.authoring.context import Cancelled, Context, checked_progress, use
from segue.authoring.filling import Fetch, fill_through, has_payloads, no_store, read
from segue.engine.transactional import TaskTransactions
from segue.given import MESSAGE_LIMIT_BYTES, clean, is_a
from segue.model import Attempt, Hole, Job, Outcome, Progress, Verdict
from segue.payloads.keeping import Payloads

PROGRESS_INTERVAL_SECONDS = 0.5

Report = Callable[[Progress], None]
Arguments = tuple[list[Any], dict[str, Any]]


def run_job(
    job: Job,
    *,
    report: Report | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    result_limit_bytes: int = RESULT_LIMIT_BYTES,
    let_through: tuple[type[BaseException], ...] = (),
    transactions: TaskTransactions | None = None,
    on_return: OnReturn | None = None,
    payloads: Payloads | None = None,
) -> Outcome:
    """Run one attempt in this thread; an `async def` task gets a new event loop.

    `report` is called with progress at most twice a second, and with the last progress. Once `is_cancelled` returns
    True, the next `progress` of the task raises `Cancelled`, which gets through. Exceptions of the classes in
    `let_through` are not caught. Transactional tasks need `transactions`; `on_return` is called before their outcome is
    recorded. Values that lie in a payload store need `payloads`, which also takes long results.

    Example::

        outcome = run_job(job)
        assert outcome.verdict == Verdict.SUCCEEDED
    """
    attempt = _Attempt(job, report, is_cancelled, result_limit_bytes, payloads)
    if job.when is not None and (skipped := attempt.skipped_unless(job.when)) is not None:
        return skipped
    if attempt.is_transactional:
        said = None if on_return is None else partial(_said, job, on_return)
        return run_in_transaction(attempt, transactions, said, let_through)
    try:
        return attempt.succeeded(attempt.run())
    except BaseException as exc:  # SystemExit and KeyboardInterrupt of a task end only the attempt
        if attempt.is_ended_by(exc, Cancelled) or is_a(exc, *let_through):
            raise
        return attempt.failed(exc)


async def run_job_async(
    job: Job,
    *,
    report: Report | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    result_limit_bytes: int = RESULT_LIMIT_BYTES,
    payloads: Payloads | None = None,
) -> Outcome:
    """`run_job` for an `async def` task, on the running event loop.

    A cancellation gets through if `is_cancelled` confirms it. Any other comes from the task or from a library that it
    uses, and is a failure.
    """
    attempt = _Attempt(job, report, is_cancelled, result_limit_bytes, payloads)
    try:
        if job.when is not None and (skipped := await asyncio.to_thread(attempt.skipped_unless, job.when)) is not None:
            return skipped
        return await attempt.succeeded_async(await attempt.run_async())
    except BaseException as exc:
        if attempt.is_ended_by(exc, Cancelled, asyncio.CancelledError):
            raise
        return attempt.failed(exc)


class _Attempt:
    """The state of one attempt."""

    __slots__ = (
        "_began",
        "_job",
        "_payloads",
        "_report",
        "_reported_at",
        "_result_limit_bytes",
        "_task",
        "_withheld",
        "context",
    )

    def __init__(
        self, job: Job, report: Report | None, is_cancelled: Callable[[], bool] | None, result_limit_bytes: int,
        payloads: Payloads | None,
    ) -> None:  # fmt: skip
        self._began = perf_counter()
        self._job = job
        self._report = report
        self._result_limit_bytes = result_limit_bytes
        self._payloads = payloads
        self._reported_at = float("-inf")
        self._withheld: Progress | None = None
        self._task = declared.tasks.get(job.task)  # None if this process does not define it
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
            partial(secrets_of, job),
        )

    @property
    def key(self) -> Attempt:
        """Identifies the attempt."""
        return (self._job.run_id, self._job.step, self._job.attempt)

    @property
    def is_transactional(self) -> bool:
        """Whether its outcome is recorded in the transaction in which the task writes."""
        return self._task is not None and self._task.transactional

    def is_to_end(self) -> bool:
        """Whether the pool has asked it to end."""
        return self.context.cancelled()

    def is_ended_by(self, exc: BaseException, *kinds: type[BaseException]) -> bool:
        """Whether this exception is of a kind that ends an attempt, and the pool has asked this one to end."""
        return is_a(exc, *kinds) and self.is_to_end()

    def run(self, connection: Any = None) -> Any:
        """Call the task; a coroutine is awaited on a new event loop."""
        pid = os.getpid()
        try:
            with use(self.context):
                value = call_apart(self.call, connection)
                return run_on_loop(value) if isawaitable(value) else value
        finally:
            if os.getpid() != pid:
                _end_fork()

    async def run_async(self) -> Any:
        """Call the task; a coroutine is awaited on the running event loop."""
        pid = os.getpid()
        try:
            with use(self.context):
                value = self.call(arguments=await self._arguments_async())
                return await value if isawaitable(value) else value
        finally:
            if os.getpid() != pid:
                _end_fork()

    def call(self, connection: Any = None, *, arguments: Arguments | None = None) -> Any:
        """Find the task and call it; a coroutine function gives a coroutine."""
        task = declared.find_task(self._job.task)
        args, kwargs = arguments or self._arguments()
        return task.fn(*args, **kwargs) if connection is None else task.call_with(connection, args, kwargs)

    def _arguments(self) -> Arguments:
        job = self._job
        task = declared.find_task(job.task)
        return values.decode_arguments(task, job.args, job.holes, job.values, through=self._through)

    async def _arguments_async(self) -> Arguments | None:
        """The arguments, if reading them takes a while, so that the event loop goes on meanwhile."""
        job = self._job
        return await asyncio.to_thread(self._arguments) if has_payloads(job.args, job.values) else None

    def _through(self, args: str, holes: tuple[Hole, ...], found: Mapping[int, str]) -> Arguments:
        return fill_through(args, holes, found, self._fetch)

    @property
    def _fetch(self) -> Fetch:
        return no_store if self._payloads is None else self._payloads.text_of

    def skipped_unless(self, when: str) -> Outcome | None:
        """The outcome if this condition is false, or cannot be read; None if the task is to run."""
        try:
            if read(when, self._fetch):
                return None
        except Exception as exc:  # noqa: BLE001 - what a store of the user raises is charged to the attempt
            return self.failed(exc)
        return self._finished(Outcome(*self.key, Verdict.SKIPPED))

    def succeeded(self, value: Any) -> Outcome:
        """The outcome of a task that returned; failed if its value cannot be stored."""
        outcome = outcomes.returned(
            self.key, value, task_name=self._job.task, task=self._task, limit_bytes=self._result_limit_bytes,
            payloads=self._payloads,
        )  # fmt: skip
        return self._finished(outcome)

    async def succeeded_async(self, value: Any) -> Outcome:
        """The same; the event loop goes on while a long value is stored."""
        name, task, payloads = self._job.task, self._task, self._payloads
        outcome = outcomes.written(self.key, value, task_name=name, task=task)
        place = partial(
            outcomes.placed, outcome, task_name=name, task=task, limit_bytes=self._result_limit_bytes, payloads=payloads
        )
        return self._finished(await asyncio.to_thread(place) if outcomes.is_long(outcome, payloads) else place())

    def failed(self, exc: BaseException) -> Outcome:
        """The outcome of a task that raised."""
        outcome = outcomes.raised(self.key, exc, task=self._task)
        if outcome.error is not None:
            outcome.error = hide_in_error(self._job, outcome.error)
        return self._finished(outcome)

    def released(self, exc: Exception) -> Outcome:
        """The outcome of an attempt that could not begin."""
        return self._finished(Outcome(*self.key, Verdict.RELEASED, error=outcomes.describe(exc)))

    def _finished(self, outcome: Outcome) -> Outcome:
        if self._withheld is not None and self._report is not None:
            self._report(self._withheld)
        outcome.seconds = perf_counter() - self._began
        return outcome

    def _on_progress(self, done: float, total: float | None, message: str) -> None:
        if self._report is None:
            return
        job = self._job
        done, total, message = checked_progress(done, total, message)  # a task may call `Context.report` directly
        progress = Progress(job.run_id, job.step, job.attempt, done, total, clean(message, MESSAGE_LIMIT_BYTES))
        now = perf_counter()
        if now - self._reported_at < PROGRESS_INTERVAL_SECONDS:
            self._withheld = progress
            return
        self._withheld = None
        self._reported_at = now
        self._report(progress)


def _said(job: Job, on_return: OnReturn) -> str:
    return hide_in(job, on_return())


def _never() -> bool:
    return False


def _end_fork() -> None:
    """End a fork that returned from its task: it must not answer, record, or continue as if it were this process."""
    raised = sys.exc_info()[1]
    code = getattr(raised, "code", 1) if type(raised) is SystemExit else int(raised is not None)
    with suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0 if code is None else code if isinstance(code, int) else 1)
