"""What must be done now and then by somebody: rescue the steps of lost workers, prune what is old.

Each chore is a query that finds what is to be done, so it may be done by anybody, twice, and by two at once; one that
died half-way is simply done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from segue.clock import earlier
from segue.engine.ending import fail_fast
from segue.engine.happenings import note_retry
from segue.engine.ids import first_id_at
from segue.engine.locking import LockedRun, lock_runs
from segue.engine.pausing import hold_paused
from segue.engine.rows import decode_policy
from segue.engine.settle import Settler
from segue.engine.transitions import Change, Facts, Lost, decide
from segue.model import ErrorInfo, RunStatus, StepStatus
from segue.store.protocol import Finish, Store, Transaction

RESCUE_AT_ONCE = 1000
PRUNE_AT_ONCE = 200
_ALL_OF_A_RUN = (
    "prune_steps", "prune_attempts", "prune_progress", "prune_messages", "prune_alarms", "prune_events",
    "prune_labels", "prune_bundles", "prune_runs",
)  # fmt: skip
_encode = msgspec.json.Encoder().encode
_decode_error = msgspec.json.Decoder(ErrorInfo).decode


def rescue(store: Store, tx: Transaction, now: datetime) -> int:
    """Take the steps of workers whose lease has expired away from them. Returns how many steps were rescued.

    Each goes back to ready, and its next attempt makes what the lost worker may still say of it void; a step that has
    lost too many workers is parked as failed.
    """
    tx.all("lose_workers", now=now)
    lost = tx.all("lost_steps", limit=RESCUE_AT_ONCE)
    if not lost:
        return 0
    locked = lock_runs(tx, {row[0] for row in lost})
    ending = {run.id for run in locked if run.is_ending}
    # Read again: a step may have ended before its run was locked.
    lost = tx.all("lost_steps", limit=RESCUE_AT_ONCE)
    runs = {run.id: run for run in locked}
    finishes = _give_back(tx, now, [row for row in lost if row[0] in runs], runs, ending)
    Settler(store, tx, now).settle(finishes, ending=sorted(ending))
    hold_paused(tx, locked)
    tx.later("wake")
    return len(lost)


def release_steps(store: Store, tx: Transaction, steps: Sequence[tuple[str, int, int]], now: datetime) -> None:
    """Give back steps that their own worker does not know to be running: a claim whose answer was lost."""
    locked = lock_runs(tx, {step[0] for step in steps})
    ending = {run.id for run in locked if run.is_ending}
    finishes = []
    for run_id, step, attempt in steps:
        if run_id in ending:
            finishes.append(Finish(run_id, step, attempt, StepStatus.RUNNING, StepStatus.CANCELLED))
            continue
        failures, losses = tx.all("step_state", run_id=run_id, step=step)[0][2:4]
        tx.all(
            "requeue", run_id=run_id, step=step, attempt=attempt, gate=None, ready_at=now,
            failures=failures, losses=losses, error=None,
        )  # fmt: skip
    Settler(store, tx, now).settle(finishes, ending=sorted(ending))
    hold_paused(tx, locked)


def _give_back(
    tx: Transaction, now: datetime, lost: Sequence[Any], runs: Mapping[str, LockedRun], ending: set[str]
) -> list[Finish]:
    finishes = []
    for run_id, step, attempt, worker in lost:
        state = tx.all("step_state", run_id=run_id, step=step)[0]
        status, _, failures, losses, policy, hook, name, may_fail, *_ = state
        facts = Facts(StepStatus(status), attempt, failures, losses, decode_policy(policy))
        change = decide(facts, Lost(attempt))
        if not isinstance(change, Change):
            continue
        error = _lost_error(worker, change)
        tx.all(
            "put_attempt", run_id=run_id, step=step, attempt=attempt, status="lost", worker=worker or "unknown",
            finished_at=now, error=error, output=None,
        )  # fmt: skip
        if run_id in ending:
            finishes.append(Finish(run_id, step, attempt, StepStatus.RUNNING, StepStatus.CANCELLED))
        elif change.status is StepStatus.READY:
            tx.all(
                "requeue", run_id=run_id, step=step, attempt=attempt, gate=None, ready_at=now,
                failures=change.failures, losses=change.losses, error=error,
            )  # fmt: skip
            note_retry(tx, run_id, step, attempt, error)
        else:
            tx.later("count_tries", run_id=run_id, step=step, failures=change.failures, losses=change.losses)
            finishes.append(Finish(run_id, step, attempt, StepStatus.RUNNING, StepStatus.FAILED, None, error))
            fails_fast = runs[run_id].fail_fast and hook is None and not may_fail
            if fails_fast and fail_fast(tx, run_id, name, _decode_error(error), now):
                ending.add(run_id)
    return finishes


def _lost_error(worker: str | None, change: Change) -> str:
    message = f"worker {worker or 'unknown'} stopped renewing its lease"
    if change.status is StepStatus.FAILED:
        message += f"; this step has now lost {change.losses} workers and is parked (lost_retries). Does it kill them?"
    return _encode(ErrorInfo("worker_lost", message)).decode()


def prune(store: Store, tx: Transaction, now: datetime, *, older_than: timedelta) -> int:
    """Delete up to some hundred runs that ended longer ago than `older_than`, oldest first. Returns how many."""
    before = earlier(now, older_than)
    ids = [
        row[0] for row in tx.all("prunable_runs", horizon=first_id_at(before), before=before, limit=PRUNE_AT_ONCE)
    ]  # fmt: skip
    deleted = delete_runs(tx, ids)
    tx.all("prune_workers", before=before)
    return deleted


def delete_runs(tx: Transaction, ids: Sequence[str]) -> int:
    """Delete those of these runs that are final, with all that is theirs. Returns how many."""
    locked = lock_runs(tx, ids) if ids else []
    final = [run.id for run in locked if RunStatus(run.status).is_final]  # a retry may have come first
    if final:
        for statement in _ALL_OF_A_RUN:
            tx.all(statement, ids=final)
    return len(final)


def check_invariants(tx: Transaction, statements: Sequence[str]) -> list[tuple[str, str]]:
    """Run the invariants; returns (run id, what is wrong) for every row that breaks one."""
    return [(str(run_id), what) for statement in statements for run_id, what in tx.all(statement)]
