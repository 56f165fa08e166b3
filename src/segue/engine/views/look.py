"""Runs, steps, attempts and workers as values. Reads only."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, ClassVar

import msgspec

from segue.engine.resolve import run_value
from segue.engine.stored import (
    arguments_of,
    error_of,
    failure_of,
    known_moment,
    length_of,
    moment_of,
    names_of,
    number_of,
    object_of,
)  # fmt: skip
from segue.engine.views.select import LAST_ID, RunFilter, page_of_ids
from segue.errors import RunNotFoundError
from segue.jsonable import Jsonable
from segue.model import RUN, ErrorInfo, FailureInfo, Gate, RunStatus, StepStatus
from segue.plan.codec import UNREADABLE
from segue.plan.namespaces import bare, namespace_of, prefix_of
from segue.store.protocol import Transaction

ENDED = ("lost", "stopped")
"""The statuses of workers that have ended."""


class RunInfo(Jsonable, msgspec.Struct, frozen=True):
    """A run as it was when it was read. Times are aware UTC."""

    id: str
    workflow: str
    key: str | None
    status: RunStatus
    ending: str | None  # "failed" or "cancelled" while it is being ended that way
    steps: int
    error: FailureInfo | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    arguments: list[Any] | None = None  # [args, kwargs] as JSON; None: not stored, or too large for a list
    forked_from: str | None = None  # the run whose results it took over
    deadline: datetime | None = None  # when it fails if it has not ended; None: never, or it has ended or is ending
    limit_name: str | None = None  # the limit in which it needs a place
    limit_key: str | None = None  # '' if all runs are counted together
    admitted_at: datetime | None = None  # since when it has that place, or had it until it ended; None: it waits
    namespace: str = ""
    started_by: str | None = None  # who started it, if that was said


class ProgressInfo(Jsonable, msgspec.Struct, frozen=True):
    """The progress that a running attempt reported; `rate` is per second, `eta_seconds` to the end."""

    done: float
    total: float | None
    message: str
    rate: float | None
    eta_seconds: float | None
    updated_at: datetime


class StepInfo(Jsonable, msgspec.Struct, frozen=True):
    """A step as it was when it was read. `seconds` is how long its task ran, by its worker's monotonic clock."""

    step: int
    scope: int
    name: str
    task: str | None
    is_join: bool
    status: StepStatus
    gate: str | None
    queue: str
    priority: int
    ready_at: datetime | None
    attempt: int
    failures: int
    losses: int
    rule: str
    waiting_on: int
    children: tuple[int, ...]
    hook: str | None
    error: ErrorInfo | None
    policy: str | None
    worker_id: str | None
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    progress: ProgressInfo | None
    worker: str | None
    worker_lease_until: datetime | None
    worker_status: str | None
    cancel_requested: bool
    metadata: dict[str, Any] = {}
    event: str | None = None  # the name of the message for which it waits, or waited
    executor: str | None = None  # the executor that runs it, if it is not a worker
    handle: str | None = None  # the executor's name for the attempt
    sent_at: datetime | None = None
    sent_until: datetime | None = None  # if it has not begun by then, its executor is asked
    arguments: list[Any] | None = None  # [args, kwargs] as JSON; only of a step that was read alone
    result: Any = None  # as JSON; only of a step that was read alone, and succeeded

    shown_as: ClassVar[dict[str, Any]] = {"scope": int | None, "policy": dict[str, Any]}

    def shown(self) -> dict[str, Any]:
        """Its fields as Python values: no scope for a step of the run itself, and the policy as a dict."""
        return super().shown() | {"scope": None if self.scope < 0 else self.scope, "policy": object_of(self.policy)}

    @property
    def is_suspended(self) -> bool:
        """Whether its task sleeps, or waits for a message (`event`), in the middle of its work."""
        is_timed = self.status == StepStatus.READY and self.gate == Gate.TIMER
        return is_timed and self.attempt > 0 and self.error is None

    @property
    def tries(self) -> int:
        """How often its task was tried from its beginning, since a person last retried it.

        A failure and a lost worker end a try. `attempt` also counts each time that the task went on after a sleep or a
        wait inside it, or after its worker was stopped.
        """
        has_ended = self.status in (StepStatus.BLOCKED, StepStatus.FAILED) or (
            self.status is StepStatus.READY and not self.is_suspended
        )
        return min(self.attempt, max(self.failures + self.losses + (not has_ended), 1))


class AttemptInfo(Jsonable, msgspec.Struct, frozen=True):
    """An attempt that failed, was lost or handed back, or printed something."""

    step: int
    attempt: int
    status: str
    worker: str
    started_at: datetime | None
    finished_at: datetime
    error: ErrorInfo | None
    output: str | None


class WorkerInfo(Jsonable, msgspec.Struct, frozen=True):
    """A worker. One that has ended is known for an hour."""

    id: str
    name: str
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    pool: str
    concurrency: int
    version: str
    status: str
    sleeping: bool
    started_at: datetime
    heartbeat_at: datetime
    lease_until: datetime
    code_version: str | None = None  # the version of its code; None: not reported
    namespace: str = ""


def run_info(tx: Transaction, run_id: str) -> RunInfo:
    """One run. Raises RunNotFoundError."""
    rows = tx.all("run_row", run_id=run_id)
    if not rows:
        raise RunNotFoundError(f"No run has the id {run_id}. It may have been pruned; `segue runs` lists the runs.")
    return run_of_row(tx, rows[0])


def list_runs(tx: Transaction, chosen: RunFilter, *, before: str | None = None, limit: int = 50) -> list[RunInfo]:
    """The newest runs first; `before` is the last id of the previous page. Large arguments are left out."""
    return run_infos(tx, page_of_ids(tx, chosen, before=before, limit=limit))


def run_infos(tx: Transaction, ids: list[str]) -> list[RunInfo]:
    """The runs with these ids, the newest first. Large arguments are left out."""
    return [run_of_row(tx, row) for row in tx.all("run_rows", ids=ids)] if ids else []


def count_steps(tx: Transaction, run_id: str) -> dict[StepStatus, int]:
    """The number of steps of a run in each status; joins, which no worker executes, are not counted."""
    return {StepStatus(status): count for status, count in tx.all("count_steps", run_id=run_id)}


def count_steps_of(tx: Transaction, run_ids: list[str]) -> dict[str, dict[StepStatus, int]]:
    """The same for several runs, each of which has some steps."""
    found: dict[str, dict[StepStatus, int]] = {}
    for run_id, status, count in tx.all("count_steps_of_runs", ids=run_ids) if run_ids else ():
        found.setdefault(str(run_id), {})[StepStatus(status)] = count
    return found


def list_steps(
    tx: Transaction, run_id: str, *, status: str | None = None, name: str | None = None,
    after: int = -1, limit: int = 1000,
) -> list[StepInfo]:  # fmt: skip
    """Steps of a run in the order of their numbers, from the one after `after`."""
    rows = tx.all("list_steps", run_id=run_id, status=status, name=name, after=after, limit=limit)
    return [step_of_row(tx, row) for row in rows]


def list_attempts(tx: Transaction, run_id: str, *, step: int | None = None) -> list[AttemptInfo]:
    """The recorded attempts at a run's steps, or at one of them."""
    return [
        AttemptInfo(
            number, attempt, status, worker, moment_of(tx, started_at), known_moment(tx, finished_at),
            error_of(error), output,
        )
        for number, attempt, status, worker, started_at, finished_at, error, output in tx.all(
            "list_attempts", run_id=run_id, step=step
        )
    ]  # fmt: skip


def list_workers(tx: Transaction, *, prefix: str | None = None) -> list[WorkerInfo]:
    """The workers that have not ended, of a namespace or all. One whose lease has expired will be declared lost."""
    workers = (_worker(tx, row) for row in tx.all("list_workers"))
    return [worker for worker in workers if prefix is None or prefix_of(worker.namespace) == prefix]


def list_ended_workers(
    tx: Transaction, *, status: str | None = None, before: str | None = None, limit: int = 50, prefix: str | None = None
) -> list[WorkerInfo]:
    """Workers that stopped or were lost, the last started first; `before` is the last id of the previous page."""
    asked: dict[str, Any] = {"before": before or LAST_ID, "limit": limit}
    asked["namespace"] = None if prefix is None else namespace_of(prefix)
    pages = [tx.later("list_ended_workers", status=each, **asked) for each in ENDED if status in (None, each)]
    found = [_worker(tx, row) for page in pages for row in page.rows()]
    return sorted(found, key=lambda worker: worker.id, reverse=True)[:limit]


def run_result(tx: Transaction, run_id: str) -> str:
    """The result of a run as JSON text; null if it has none. Raises SerializationError if it cannot be read."""
    [(_, _, _, result_expr)] = tx.all("run_outcome", run_id=run_id)
    return run_value(tx, run_id, result_expr)


def run_of_row(tx: Transaction, row: Any) -> RunInfo:
    """A run from the columns of `listed_run`."""
    (
        id_, workflow, key, status, intent, outcome, steps, error, created_at, started_at, finished_at,
        tags, metadata, forked_from, limit_name, limit_key, admitted_at, started_by, deadline, arguments,
    ) = row  # fmt: skip
    is_final = RunStatus(status).is_final
    ending = None if is_final else (intent or outcome)
    has_deadline = not (is_final or ending)
    return RunInfo(
        str(id_), bare(workflow), key, RunStatus(status), ending, number_of(steps), failure_of(error),
        known_moment(tx, created_at), moment_of(tx, started_at), moment_of(tx, finished_at),
        names_of(tags), object_of(metadata), arguments_of(arguments),
        None if forked_from is None else str(forked_from), moment_of(tx, deadline) if has_deadline else None,
        None if limit_name is None else bare(limit_name), limit_key, moment_of(tx, admitted_at), namespace_of(workflow),
        started_by,
    )  # fmt: skip


def step_of_row(tx: Transaction, row: Any) -> StepInfo:
    """A step from the columns of `step_columns`."""
    when = partial(moment_of, tx)
    (
        step, scope, name, task, is_join, status, gate, queue, priority, ready_at, attempt, failures, losses, rule,
        waiting_on, children, hook, error, policy, worker_id, started_at, finished_at, seconds,
        done, total, message, progress_from, progress_at, worker, lease_until, worker_status, cancel_requested,
        metadata, event, executor, handle, sent_at, sent_until,
    ) = row  # fmt: skip
    progress = None
    done, total = length_of(done), length_of(total)
    if done is not None:
        progress = _progress(done, total, message, known_moment(tx, progress_from), known_moment(tx, progress_at))
    return StepInfo(
        step, number_of(scope), name, task, bool(is_join), StepStatus(status), gate, bare(queue), number_of(priority),
        when(ready_at), number_of(attempt), number_of(failures), number_of(losses), rule, number_of(waiting_on),
        _children(tx, children), hook, error_of(error), policy, None if worker_id is None else str(worker_id),
        when(started_at), when(finished_at), length_of(seconds), progress, worker, when(lease_until), worker_status,
        bool(cancel_requested), object_of(metadata), event if event is None else str(event),
        executor, handle, when(sent_at), when(sent_until),
    )  # fmt: skip


def _worker(tx: Transaction, row: Any) -> WorkerInfo:
    when = partial(known_moment, tx)
    (
        id_, name, queues, tasks, pool, concurrency, version, status, sleeping, started_at, heartbeat_at, lease_until,
        code_version, namespace,
    ) = row  # fmt: skip
    return WorkerInfo(
        str(id_), name, tuple(map(bare, names_of(queues))), names_of(tasks), pool, concurrency, version, status,
        bool(sleeping), when(started_at), when(heartbeat_at), when(lease_until), code_version, namespace,
    )  # fmt: skip


def _progress(done: float, total: float | None, message: str, begun: datetime, at: datetime) -> ProgressInfo:
    elapsed = (at - begun).total_seconds()
    rate = done / elapsed if elapsed > 0 and done > 0 else None
    eta = max(total - done, 0.0) / rate if rate and total is not None else None
    return ProgressInfo(done, total, message, rate, eta, at)


def _children(tx: Transaction, children: Any) -> tuple[int, ...]:
    """Includes children that no longer wait for the step (`forget_late_parents`)."""
    try:
        return tuple(child if child >= RUN else -2 - child for child in tx.integers(children))
    except UNREADABLE:
        return ()
