"""What is going on: runs, steps, attempts and workers as values. Reads only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from segue.engine.resolve import load
from segue.engine.views.select import RunFilter, page_of_ids
from segue.errors import RunNotFoundError
from segue.model import RUN, ErrorInfo, FailureInfo, RunStatus, StepStatus
from segue.plan.codec import decode_expr, evaluate, steps_in
from segue.store.protocol import Store, Transaction


class RunInfo(msgspec.Struct, frozen=True):
    """A run as it stood when it was looked at. Times are aware UTC."""

    id: str
    workflow: str
    key: str | None
    status: RunStatus
    ending: str | None  # "failed" or "cancelled" while it is being brought to that end
    steps: int
    error: FailureInfo | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    arguments: list[Any] | None = None  # [args, kwargs] as JSON knows them; None: not kept, or too large for a list
    forked_from: str | None = None  # the run whose results it took over
    deadline: datetime | None = None  # when it fails if it has not ended; None: never, or it is over or ending
    limit_name: str | None = None  # the limit that it needs a place of
    limit_key: str | None = None  # '' where it is counted for all runs together
    admitted_at: datetime | None = None  # since when it has that place, or had it until it ended; None: it waits


class ProgressInfo(msgspec.Struct, frozen=True):
    """How far a running attempt says that it is; `rate` is per second, `eta_seconds` to the end."""

    done: float
    total: float | None
    message: str
    rate: float | None
    eta_seconds: float | None
    updated_at: datetime


class StepInfo(msgspec.Struct, frozen=True):
    """A step as it stood when it was looked at. `seconds` is how long its task ran, by its worker's stopwatch."""

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
    event: str | None = None  # the name of the message that it waits for, or waited for


class AttemptInfo(msgspec.Struct, frozen=True):
    """An attempt that failed, was lost or handed back, or printed something."""

    step: int
    attempt: int
    status: str
    worker: str
    started_at: datetime | None
    finished_at: datetime
    error: ErrorInfo | None
    output: str | None


class WorkerInfo(msgspec.Struct, frozen=True):
    """A worker that has not ended, as far as is known."""

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


def run_info(store: Store, tx: Transaction, run_id: str) -> RunInfo:
    """One run; raises RunNotFoundError."""
    rows = tx.all("run_row", run_id=run_id)
    if not rows:
        raise RunNotFoundError(
            f"No run has the id {run_id}. It may have been pruned; `segue runs` lists those there are."
        )
    return _run(store, rows[0])


def list_runs(
    store: Store, tx: Transaction, chosen: RunFilter, *, before: str | None = None, limit: int = 50
) -> list[RunInfo]:
    """The newest runs first; `before` is the last id of the page before. Large arguments are left out."""
    ids = page_of_ids(tx, chosen, before=before, limit=limit)
    return [_run(store, row) for row in tx.all("run_rows", ids=ids)] if ids else []


def find_run(tx: Transaction, start: str) -> str:
    """The id that begins with `start`; raises RunNotFoundError when none does, or several do."""
    digits = start.replace("-", "").lower()
    if not digits or len(digits) > 32 or not set(digits) <= set("0123456789abcdef"):
        raise RunNotFoundError(f"{start!r} is not the id of a run, or its beginning. `segue runs` lists them.")
    rows = tx.all("runs_like", low=_dashed(digits.ljust(32, "0")), high=_dashed(digits.ljust(32, "f")))
    if not rows:
        raise RunNotFoundError(f"No run has an id that begins with {start!r}. `segue runs` lists them.")
    if len(rows) > 1:
        raise RunNotFoundError(f"Several runs have ids that begin with {start!r}: give more of it.")
    return str(rows[0][0])


def count_steps(tx: Transaction, run_id: str) -> dict[StepStatus, int]:
    """How many steps of a run have each status; joins, which nobody runs, are not counted."""
    return {StepStatus(status): count for status, count in tx.all("count_steps", run_id=run_id)}


def list_steps(
    store: Store, tx: Transaction, run_id: str, *, status: str | None = None, name: str | None = None,
    after: int = -1, limit: int = 1000,
) -> list[StepInfo]:  # fmt: skip
    """Steps of a run in the order of their numbers, from the one after `after`."""
    rows = tx.all("list_steps", run_id=run_id, status=status, name=name, after=after, limit=limit)
    return [_step(store, row) for row in rows]


def list_attempts(store: Store, tx: Transaction, run_id: str, *, step: int | None = None) -> list[AttemptInfo]:
    """What is recorded of the attempts at a run's steps, or at one of them."""
    return [
        AttemptInfo(
            number, attempt, status, worker, store.datetime(started_at), _required(store, finished_at), _error(error),
            output,
        )
        for number, attempt, status, worker, started_at, finished_at, error, output in tx.all(
            "list_attempts", run_id=run_id, step=step
        )
    ]  # fmt: skip


def list_workers(store: Store, tx: Transaction) -> list[WorkerInfo]:
    """The workers that have not ended; one whose lease has run out is about to be declared lost."""
    return [
        WorkerInfo(
            str(row[0]), row[1], _names(row[2]), _names(row[3]), row[4], row[5], row[6], row[7], bool(row[8]),
            _required(store, row[9]), _required(store, row[10]), _required(store, row[11]),
        )
        for row in tx.all("list_workers")
    ]  # fmt: skip


def run_result(tx: Transaction, run_id: str) -> str:
    """The result of a run as JSON text; null when it has none."""
    result_expr = tx.all("run_outcome", run_id=run_id)[0][3]
    if result_expr is None:
        return "null"
    expr = decode_expr(result_expr)
    return evaluate(expr, load(tx, run_id, steps_in(expr)))


def _run(store: Store, row: Any) -> RunInfo:
    (
        id_, workflow, key, status, intent, outcome, steps, error, created_at, started_at, finished_at,
        tags, metadata, forked_from, limit_name, limit_key, admitted_at, deadline, arguments,
    ) = row  # fmt: skip
    failure = msgspec.json.decode(error, type=FailureInfo) if error else None
    is_final = RunStatus(status).is_final
    ending = None if is_final else (intent or outcome)
    has_deadline = not (is_final or ending)
    return RunInfo(
        str(id_), workflow, key, RunStatus(status), ending, steps, failure,
        _required(store, created_at), store.datetime(started_at), store.datetime(finished_at),
        _names(tags) if tags else (), _object(metadata), msgspec.json.decode(arguments) if arguments else None,
        None if forked_from is None else str(forked_from), store.datetime(deadline) if has_deadline else None,
        limit_name, limit_key, store.datetime(admitted_at),
    )  # fmt: skip


def _step(store: Store, row: Any) -> StepInfo:
    when = store.datetime
    (
        step, scope, name, task, is_join, status, gate, queue, priority, ready_at, attempt, failures, losses, rule,
        waiting_on, children, hook, error, policy, worker_id, started_at, finished_at, seconds,
        done, total, message, progress_from, progress_at, worker, lease_until, worker_status, cancel_requested,
        metadata, event,
    ) = row  # fmt: skip
    progress = None
    if done is not None:
        progress = _progress(done, total, message, _required(store, progress_from), _required(store, progress_at))
    return StepInfo(
        step, scope, name, task, bool(is_join), StepStatus(status), gate, queue, priority, when(ready_at), attempt,
        failures, losses, rule, waiting_on, _children(store, children), hook, _error(error), policy,
        None if worker_id is None else str(worker_id), when(started_at), when(finished_at), seconds, progress, worker,
        when(lease_until), worker_status, bool(cancel_requested), _object(metadata),
        event,
    )  # fmt: skip


def _progress(done: float, total: float | None, message: str, begun: datetime, at: datetime) -> ProgressInfo:
    elapsed = (at - begun).total_seconds()
    rate = done / elapsed if elapsed > 0 and done > 0 else None
    eta = max(total - done, 0.0) / rate if rate and total is not None else None
    return ProgressInfo(done, total, message, rate, eta, at)


def _error(text: str | None) -> ErrorInfo | None:
    return msgspec.json.decode(text, type=ErrorInfo) if text else None


def _children(store: Store, children: Any) -> tuple[int, ...]:
    """With those that no longer wait for the step (`forget_late_parents`)."""
    return tuple(child if child >= RUN else -2 - child for child in store.integers(children))


def _object(text: str | None) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(text) if text else {}
    return found


def _names(text: str) -> tuple[str, ...]:
    names: list[str] = msgspec.json.decode(text)
    return tuple(names)


def _required(store: Store, value: Any) -> datetime:
    moment = store.datetime(value)
    if moment is None:
        raise ValueError("a time that the schema says is always there is missing")
    return moment


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
