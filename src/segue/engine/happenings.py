"""Noting what happens to steps and runs, in the journal of the transaction, while somebody listens.

A batch that was finished says how many it recorded. When that is fewer than were sent, the database is asked which:
only what happened is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from segue.model import ErrorInfo, FailureInfo, StepStatus
from segue.observing.journal import Happening, Journal
from segue.observing.observers import Event
from segue.store.protocol import Finish, Store, Transaction

_encode = msgspec.json.Encoder().encode
_ENDS = {status: f"step.{status}" for status in StepStatus if status.is_final}


def note_finishes(tx: Transaction, batch: Sequence[Finish], recorded: int, now: datetime) -> None:
    """Note the ends of steps, of which `recorded` were not refused."""
    journal = tx.journal
    if journal is None:
        return
    wanted = {status for status, kind in _ENDS.items() if kind in journal.wanted}
    noted: set[tuple[str, int, int]] = set()
    for finish in batch:
        if finish.status not in wanted:
            continue
        which = (finish.run_id, finish.step, finish.attempt)
        if recorded < len(batch) and (which in noted or not _is_recorded(tx, finish, now)):
            continue
        noted.add(which)
        journal.note(_ENDS[StepStatus(finish.status)], *which, error=finish.error)


def note_run_end(tx: Transaction, run_id: str, status: str, error: str | None = None) -> None:
    """Note the end of a run."""
    if tx.journal is not None:
        tx.journal.note(f"run.{status}", run_id, error=error)


def note_retry(
    tx: Transaction, run_id: str, step: int, attempt: int, error: str | None, after_seconds: float = 0.0
) -> None:
    """Note that an attempt failed or was lost, and that another one will follow."""
    if tx.journal is not None:
        detail = _encode({"after_seconds": round(after_seconds, 3)}).decode()
        tx.journal.note("step.retrying", run_id, step, attempt, error=error, detail=detail)


def describe(store: Store, happenings: Sequence[Happening], at: datetime) -> list[Event]:
    """The happenings as events for observers, with what is looked up now; without those whose run is gone by now."""
    with store.reading() as tx:
        return events_of(tx, happenings, at)


def events_of(tx: Transaction, happenings: Sequence[Happening], at: datetime) -> list[Event]:
    """The same inside a transaction. Joins, which nobody runs, are left out."""
    about = {(each.run_id, each.step) for each in happenings if each.run_id is not None}
    asked = {key: tx.later("event_facts", run_id=key[0], step=key[1]) for key in about}
    facts = {key: rows[0] for key, later in asked.items() if (rows := later.rows())}
    events = []
    for each in happenings:
        if each.run_id is None:
            events.append(_event(each, at, (None, None, None, None, None)))
            continue
        found = facts.get((each.run_id, each.step))
        if found is not None and (each.step is None or found[4] is not None):
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


def _event(each: Happening, at: datetime, facts: tuple[Any, ...]) -> Event:
    workflow, key, tags, name, _ = facts
    detail: dict[str, object] = msgspec.json.decode(each.detail) if each.detail else {}
    error = None
    if each.error is not None and each.step is None:
        failure = msgspec.json.decode(each.error, type=FailureInfo)
        error = ErrorInfo(failure.type, failure.message)
        detail["failed_step"] = failure.step
    elif each.error is not None:
        error = msgspec.json.decode(each.error, type=ErrorInfo)
    return Event(
        each.event_id or _id(each, at), each.kind, at, each.run_id, workflow, key,
        tuple(msgspec.json.decode(tags)) if tags else (), each.step, name, each.attempt, error, detail,
    )  # fmt: skip


def _id(each: Happening, at: datetime) -> str:
    """What is not written down anywhere happened to one attempt of a step, or once to a run, at one moment."""
    where = "" if each.step is None else f"{each.step}.{each.attempt}:"
    return f"{each.run_id}:{where}{each.kind}:{at:%Y%m%dT%H%M%S.%fZ}"


def _is_recorded(tx: Transaction, finish: Finish, now: datetime) -> bool:
    return bool(
        tx.all(
            "step_ended_now", run_id=finish.run_id, step=finish.step, attempt=finish.attempt, status=finish.status,
            now=now,
        )
    )  # fmt: skip


def begin_runs(tx: Transaction, run_ids: Sequence[str], now: datetime) -> None:
    """Mark runs as running whose first step has begun, and note it. One that another turn holds is left out."""
    journal = tx.journal
    if journal is None or "run.started" not in journal.wanted:
        tx.later("runs_begin", ids=list(run_ids), now=now)
        return
    for (run_id,) in tx.all("runs_begin_told", ids=list(run_ids), now=now):
        journal.note("run.started", run_id)


def note_starts(journal: Journal, steps: Sequence[tuple[str, int, int]]) -> None:
    """Note attempts that begin."""
    for run_id, step, attempt in steps:
        journal.note("step.started", run_id, step, attempt)
