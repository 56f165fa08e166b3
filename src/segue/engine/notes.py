"""Notes the events of steps and runs in the journal of the transaction, if there is an observer or subscription.

A batch that was finished returns how many ends it recorded. If that is fewer than were sent, the database is asked
which: only recorded ends are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from segue.engine.act import Act
from segue.engine.audit import namespace_in, without_namespaces
from segue.engine.stored import arguments_of, error_of, failure_of, names_of, object_of
from segue.masking import masked_text
from segue.model import ErrorInfo, RunStatus, StepStatus
from segue.observing.journal import Journal, RawEvent
from segue.observing.metrics import registry
from segue.observing.observers import Event
from segue.plan.namespaces import bare, namespace_of, prefix_of
from segue.store.protocol import Finish, Store, Transaction

_encode = msgspec.json.Encoder().encode
_ENDS = {status: f"step.{status}" for status in StepStatus if status.is_final}


def note_finishes(act: Act, batch: Sequence[Finish], recorded: int) -> None:
    """Note the ends of steps, of which `recorded` were not refused."""
    journal = act.journal
    if journal is None:
        return
    wanted = {status for status, kind in _ENDS.items() if kind in journal.wanted}
    noted: set[tuple[str, int, int]] = set()
    for finish in batch:
        if finish.status not in wanted:
            continue
        which = (finish.run_id, finish.step, finish.attempt)
        if recorded < len(batch) and (which in noted or not _is_recorded(act, finish)):
            continue
        noted.add(which)
        journal.note(_ENDS[StepStatus(finish.status)], *which, error=finish.error)


def note_run_end(act: Act, run_id: str, status: str, error: str | None = None) -> None:
    """Note the end of a run. Every way in which a run ends calls this function."""
    act.ended_runs.append(run_id)
    if status == RunStatus.FAILED:
        act.failed_runs.append((run_id, error))
    if act.journal is not None:
        act.journal.note(f"run.{status}", run_id, error=error)


def note_retry(act: Act, run_id: str, step: int, attempt: int, error: str | None, after_seconds: float = 0.0) -> None:
    """Note that an attempt failed or was lost, and that another one will follow."""
    act.count(registry.RETRIES)
    if act.journal is not None:
        detail = _encode({"after_seconds": round(after_seconds, 3)}).decode()
        act.journal.note("step.retrying", run_id, step, attempt, error=error, detail=detail)


def describe(store: Store, raw_events: Sequence[RawEvent], at: datetime, *, prefix: str | None = None) -> list[Event]:
    """The raw events as events for observers, with names and labels looked up now; events of deleted runs are left out.

    Chores change runs of all namespaces; observers receive events of their own namespace.
    """
    with store.reading() as tx:
        return [
            event for event in events_of(tx, raw_events, at) if prefix is None or prefix_of(event.namespace) == prefix
        ]


def events_of(tx: Transaction, raw_events: Sequence[RawEvent], at: datetime) -> list[Event]:
    """The same inside a transaction. Joins, which no worker executes, are left out."""
    about = {(each.run_id, each.step) for each in raw_events if each.run_id is not None}
    asked = {key: tx.later("event_facts", run_id=key[0], step=key[1]) for key in about}
    facts = {key: _Facts(*rows[0]) for key, later in asked.items() if (rows := later.rows())}
    events = []
    for each in raw_events:
        if each.run_id is None:
            events.append(_event(each, at, _Facts()))
            continue
        found = facts.get((each.run_id, each.step))
        if found is not None and (each.step is None or found.task is not None):
            events.append(_event(each, at, found))
    return events


def payload(event: Event) -> dict[str, Any]:
    """An event as it is sent to others: plain JSON, the error without its traceback."""
    error = event.error
    return {
        "id": event.id,
        "kind": event.kind,
        "at": event.at,
        "run_id": event.run_id,
        "workflow": event.workflow,
        "key": event.key,
        "tags": event.tags,
        "step": event.step,
        "name": event.name,
        "attempt": event.attempt,
        "error": None if error is None else {"type": error.type, "message": error.message},
        "detail": event.detail,
    }


class _Facts(NamedTuple):
    """What is added to an event when it is delivered: a row of `event_facts`."""

    workflow: str | None = None
    key: str | None = None
    tags: Any = None
    name: str | None = None
    task: str | None = None
    metadata: Any = None
    arguments: str | None = None


def _event(each: RawEvent, at: datetime, facts: _Facts) -> Event:
    workflow, key, tags, name, _, metadata, arguments = facts
    detail: dict[str, object] = object_of(each.detail)
    space = namespace_of(workflow) if workflow is not None else namespace_in(detail)
    if each.run_id is None:
        detail = without_namespaces(detail)
    error = None
    if each.step is None:
        failure = failure_of(each.error)
        if failure is not None:
            error = ErrorInfo(failure.type, failure.message)
            detail["failed_step"] = failure.step
    else:
        error = error_of(each.error)
    if error is not None:
        error = ErrorInfo(error.type, masked_text(error.message), masked_text(error.traceback))
    return Event(
        each.event_id or _id(each, at), each.kind, at, each.run_id,
        None if workflow is None else bare(workflow), key, names_of(tags), each.step, name, each.attempt, error, detail,
        space, object_of(metadata), arguments_of(arguments),
    )  # fmt: skip


def _id(each: RawEvent, at: datetime) -> str:
    """The id of an event without a row: it happened to one attempt of a step, or once to a run, at one time."""
    where = "" if each.step is None else f"{each.step}.{each.attempt}:"
    return f"{each.run_id}:{where}{each.kind}:{at:%Y%m%dT%H%M%S.%fZ}"


def _is_recorded(act: Act, finish: Finish) -> bool:
    return bool(
        act.tx.all(
            "step_ended_now", run_id=finish.run_id, step=finish.step, attempt=finish.attempt, status=finish.status,
            now=act.now,
        )
    )  # fmt: skip


def begin_runs(act: Act, run_ids: Sequence[str], *, at: datetime | None = None) -> None:
    """Mark runs as running whose first step has begun, and note it. One that another turn holds is left out.

    They have begun `at` this time, or now. Of those that have ended meanwhile it is not said any more.
    """
    journal, at = act.journal, at or act.now
    if journal is None or "run.started" not in journal.wanted:
        act.tx.later("runs_begin", ids=list(run_ids), now=at)
        return
    for (run_id,) in act.tx.all("runs_begin_returning", ids=list(run_ids), now=at):
        journal.note("run.started", run_id)


def note_starts(journal: Journal, steps: Sequence[tuple[str, int, int]]) -> None:
    """Note attempts that begin."""
    for run_id, step, attempt in steps:
        journal.note("step.started", run_id, step, attempt)
