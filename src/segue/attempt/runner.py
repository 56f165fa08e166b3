"""One attempt, from job to outcome: find the task, convert its arguments, call it, report how it ended.

Everything that a task raises or returns becomes an outcome, and so do exceptions of the user's code that runs when its
objects are examined. Only `Cancelled` gets through, and only if the pool has asked the attempt to end: a task that
raises `Cancelled` by itself fails like any other.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from time import perf_counter  # by name: a task may replace `time.perf_counter`
from typing import Any

from segue.attempt import around, outcomes
from segue.attempt.beside import call_apart, run_on_loop
from segue.attempt.journal import AttemptJournal
from segue.attempt.outcomes import RESULT_LIMIT_BYTES
from segue.attempt.recorded import Recorded
from segue.attempt.secrets import hide_in, hide_in_error, secrets_of
from segue.attempt.transactional import OnReturn, run_in_transaction
from segue.authoring import declared, values
from segue.authoring.context import Cancelled, Context, checked_progress, use
from segue.authoring.filling import Fetch, fill_through, has_payloads, no_store, read
from segue.authoring.middleware import middlewares
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
    `let_through` are not caught. Transactional tasks and checkpoints need `transactions`; `on_return` is called before
    the outcome of a transactional task is recorded. Values that lie in a payload store need `payloads`, which also
    takes long results.

    Example::

        outcome = run_job(job)
        assert outcome.verdict == Verdict.SUCCEEDED
    """
    attempt = _Attempt(job, report, is_cancelled, result_limit_bytes, payloads, transactions)
    if job.when is not None and (skipped := attempt.skipped_unless(job.when)) is not None:
        return skipped
    if attempt.is_transactional:
        said = None if on_return is None else partial(_said, job, on_return)
        outcome = run_in_transaction(attempt, transactions, said, let_through)
    else:
        try:
            outcome = attempt.succeeded(attempt.run())
        except BaseException as exc:  # SystemExit and KeyboardInterrupt of a task end only the attempt
            if attempt.is_ended_by(exc, Cancelled) or is_a(exc, *let_through):
                raise
            outcome = attempt.failed(exc)
    if middlewares.afters:
        attempt.tell(outcome, let_through)
    return outcome


async def run_job_async(
    job: Job,
    *,
    report: Report | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    result_limit_bytes: int = RESULT_LIMIT_BYTES,
    payloads: Payloads | None = None,
    transactions: TaskTransactions | None = None,
) -> Outcome:
    """`run_job` for an `async def` task, on the running event loop.

    A cancellation gets through if `is_cancelled` confirms it. Any other comes from the task or from a library that it
    uses, and is a failure.
    """
    attempt = _Attempt(job, report, is_cancelled, result_limit_bytes, payloads, transactions)
    try:
        if job.when is not None and (skipped := await asyncio.to_thread(attempt.skipped_unless, job.when)) is not None:
            return skipped
        outcome = await attempt.succeeded_async(await attempt.run_async())
    except BaseException as exc:
        if attempt.is_ended_by(exc, Cancelled, asyncio.CancelledError):
            raise
        outcome = attempt.failed(exc)
    if middlewares.afters:
        attempt.tell(outcome)
    return outcome


class _Attempt:
    """The state of one attempt."""

    __slots__ = (
        "_began",
        "_job",
        "_journal",
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
        payloads: Payloads | None, transactions: TaskTransactions | None,
    ) -> None:  # fmt: skip
        self._began = perf_counter()
        self._job = job
        self._report = report
        self._result_limit_bytes = result_limit_bytes
        self._payloads = payloads
        self._reported_at = float("-inf")
        self._withheld: Progress | None = None
        self._task = declared.tasks.get(job.task)  # None if this process does not define it
        is_to_end = is_cancelled or _never
        self._journal = AttemptJournal(
            self.key, transactions, Recorded(payloads, result_limit_bytes), is_to_end=is_to_end,
            refusal=self._refusal(transactions),
        )  # fmt: skip
        self.context = Context(
            job.run_id,
            job.step,
            job.attempt,
            job.name,
            job.task,
            self._on_progress,
            job.failures,
            job.timeout,
            is_to_end,
            self._journal,
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

    def _refusal(self, transactions: TaskTransactions | None) -> str | None:
        """Why nothing can be recorded inside this step; None if it can."""
        if self.is_transactional:
            return (
                f"in {self._job.task}, which is transactional: all that it writes is one transaction, with its "
                "outcome. Use checkpoint(..., transactional=True) in a task that is not"
            )
        if transactions is None:
            return f"in the step {self._job.name}, whose process has no connection to the database"
        return None

    def is_to_end(self) -> bool:
        """Whether the pool has asked it to end."""
        return self.context.cancelled()

    def is_ended_by(self, exc: BaseException, *kinds: type[BaseException]) -> bool:
        """Whether this exception is of a kind that ends an attempt, and the pool has asked this one to end."""
        return is_a(exc, *kinds) and self.is_to_end()

    def run(self, connection: Any = None) -> Any:
        """Call the task; a coroutine is awaited on a new event loop."""
        with use(self.context):
            if around.is_around():
                return copy_context().run(self._run_inside, connection)
            return self._run(connection)

    def _run_inside(self, connection: Any) -> Any:
        with around.around_attempt(self.context, self._job):
            return self._run(connection)

    def _run(self, connection: Any) -> Any:
        pid = os.getpid()
        try:
            value = call_apart(self.call, connection)
            return run_on_loop(self._awaited(value)) if isawaitable(value) else value
        finally:
            if os.getpid() != pid:
                _end_fork()

    async def run_async(self) -> Any:
        """Call the task; a coroutine is awaited on the running event loop."""
        with use(self.context):
            if around.is_around():
                with around.around_attempt(self.context, self._job):
                    return await self._run_async()
            return await self._run_async()

    async def _run_async(self) -> Any:
        pid = os.getpid()
        try:
            value = self.call(arguments=await self._arguments_async())
            return await self._awaited(value) if isawaitable(value) else value
        finally:
            if os.getpid() != pid:
                _end_fork()

    def _awaited(self, work: Awaitable[Any]) -> Awaitable[Any]:
        return self._await_inside(work) if middlewares.coroutines else work

    async def _await_inside(self, work: Awaitable[Any]) -> Any:
        try:
            async with around.around_coroutine(self.context):
                return await work
        finally:
            if isinstance(work, Coroutine):
                work.close()  # it has ended, unless a middleware failed before it began

    def tell(self, outcome: Outcome, let_through: tuple[type[BaseException], ...] = ()) -> None:
        """Tell the middlewares how it ended."""
        with use(self.context):
            around.after_attempt(
                self.context, outcome,
                raises=lambda exc: self.is_ended_by(exc, Cancelled) or is_a(exc, *let_through),
            )  # fmt: skip

    def call(self, connection: Any = None, *, arguments: Arguments | None = None) -> Any:
        """Find the task and call it; a coroutine function gives a coroutine."""
        task = declared.find_task(self._job.task)
        args, kwargs = arguments or self._arguments()
        return task.fn(*args, **kwargs) if connection is None else task._call_with(connection, args, kwargs)

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
        if self._journal.is_suspended:
            return self._suspended()
        outcome = outcomes.returned(
            self.key, value, task_name=self._job.task, task=self._task, limit_bytes=self._result_limit_bytes,
            payloads=self._payloads,
        )  # fmt: skip
        return self._finished(outcome)

    async def succeeded_async(self, value: Any) -> Outcome:
        """The same; the event loop goes on while a long value is stored."""
        if self._journal.is_suspended:
            return self._suspended()
        name, task, payloads = self._job.task, self._task, self._payloads
        outcome = outcomes.written(self.key, value, task_name=name, task=task)
        place = partial(
            outcomes.placed, outcome, task_name=name, task=task, limit_bytes=self._result_limit_bytes, payloads=payloads
        )
        return self._finished(await asyncio.to_thread(place) if outcomes.is_long(outcome, payloads) else place())

    def failed(self, exc: BaseException) -> Outcome:
        """The outcome of a task that raised."""
        if self._journal.is_suspended:
            return self._suspended()
        outcome = outcomes.raised(self.key, exc, task=self._task)
        if outcome.error is not None:
            outcome.error = hide_in_error(self._job, outcome.error)
        return self._finished(outcome)

    def released(self, exc: Exception) -> Outcome:
        """The outcome of an attempt that could not begin."""
        return self._finished(Outcome(*self.key, Verdict.RELEASED, error=outcomes.describe(exc)))

    def _suspended(self) -> Outcome:
        """The outcome of a task that sleeps or waits, whatever it did after that."""
        return self._finished(Outcome(*self.key, Verdict.SUSPENDED))

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
