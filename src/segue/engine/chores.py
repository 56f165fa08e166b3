"""Periodic work: rescue the steps of lost workers, delete old runs.

Each chore finds its work by a query. Any process may do it, also twice, and two at the same time; if one dies half-way,
the chore is simply done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from segue.clock import earlier
from segue.engine.act import Act
from segue.engine.acts import Acts
from segue.engine.attempts import End, LockedRuns, end_attempt
from segue.engine.ids import first_id_at
from segue.engine.locking import LockedRun, hold_paused, lock_free_runs
from segue.engine.propagate import Propagation
from segue.engine.scope import ALL_RUNS, Scope
from segue.engine.stored import storable
from segue.engine.transitions import Ended, Lost
from segue.engine.unfinished import unfinished_runs
from segue.model import RUN, WORKER_LOST, ErrorInfo, Outcome, RunStatus, Verdict
from segue.store.protocol import Finish, Transaction

RESCUE_AT_ONCE = 1000
PRUNE_AT_ONCE = 200
WORKERS_KEPT = timedelta(hours=1)
WORKERS_AT_ONCE = 1000
MOST_UNFINISHED = 1_000_000
STEPS_AT_ONCE = 5000
"""The most steps that one transaction deletes. A larger run is deleted first, and its steps afterwards in portions."""

_OF_STEPS = ("prune_steps", "prune_attempts", "prune_progress", "prune_checkpoints")
_OF_RUNS = (
    "prune_messages", "prune_alarms", "prune_events", "prune_labels", "prune_debounces", "prune_unfinished",
    "look_at_payloads", "prune_payload_uses",
    "prune_keys", "prune_runs",
)  # fmt: skip
_OF_SOME_STEPS = ("prune_some_steps", "prune_some_attempts", "prune_some_progress", "prune_some_checkpoints")


def rescue(act: Act, scope: Scope = ALL_RUNS, *, just_lost: set[str] | None = None) -> int:
    """Take steps from workers whose lease has expired. Returns how many steps were rescued.

    Each step is ready again, and its next attempt invalidates later reports of the lost worker; a step that has lost
    too many workers is parked as failed. Runs that another transaction holds are left for the next time. `just_lost`
    collects the workers that this rescue declares lost, in all of its transactions.
    """
    just_lost = set() if just_lost is None else just_lost
    just_lost.update(row[0] for row in act.tx.all("lose_workers", now=act.now))
    locked, lost = _lock_lost(act.tx, scope)
    if not lost:
        return 0
    runs = LockedRuns(locked)
    ends = [_take_from(act, runs, row, just_lost) for row in lost]
    Propagation(act).run([end for end in ends if isinstance(end, Finish)], ending=sorted(runs.ending))
    hold_paused(act.tx, locked)
    act.tx.later("wake")
    return len(lost)


def lost_runs(tx: Transaction, now: datetime, scope: Scope) -> list[str]:
    """The runs in which a rescue would change steps."""
    rows = tx.all(
        "runs_of_lost_workers", now=now, limit=RESCUE_AT_ONCE, only=scope.only, aside=list(scope.aside)
    )  # fmt: skip
    return [row[0] for row in rows]


def give_up_lost(engine: Acts, run_id: str, error: Exception) -> None:
    """The last resort for a run whose steps were lost and cannot be given back."""
    text = f"its worker was lost, and it cannot be rescued, because its rows are damaged: {error}"
    engine.break_run(run_id, RUN, ErrorInfo(type(error).__name__, storable(text)))


def _lock_lost(tx: Transaction, scope: Scope) -> tuple[list[LockedRun], list[Any]]:
    """Lock the runs of lost steps that are not held; also returns these steps, as they are under the lock."""
    locked: dict[str, LockedRun] = {}
    aside = list(scope.aside)
    while True:
        # Read again each time: a step may have ended before its run was locked.
        lost = tx.all("lost_steps", limit=RESCUE_AT_ONCE, only=scope.only, aside=aside)
        new = {run_id for run_id, *_ in lost} - locked.keys()
        if not new:
            return list(locked.values()), lost
        free, _ = lock_free_runs(tx, new)
        locked |= {run.id: run for run in free}
        aside += sorted(new - locked.keys())  # held, or gone


def release_steps(act: Act, steps: Sequence[tuple[str, int, int]]) -> int:
    """Give back steps that their own worker does not know to be running, because the answer to a claim was lost.

    Returns how many; steps of runs that another transaction holds are left.
    """
    locked, held = lock_free_runs(act.tx, {run_id for run_id, _, _ in steps})
    runs = LockedRuns(locked)
    steps = [(run_id, step, attempt) for run_id, step, attempt in steps if run_id not in held]
    finishes = []
    for run_id, step, attempt in steps:
        outcome = Outcome(run_id, step, attempt, Verdict.RELEASED)
        end = end_attempt(act, runs, outcome, Ended(attempt, Verdict.RELEASED))
        if isinstance(end, Finish):
            finishes.append(end)
    Propagation(act).run(finishes, ending=sorted(runs.ending))
    hold_paused(act.tx, locked)
    return len(steps)


def _take_from(act: Act, runs: LockedRuns, row: Sequence[Any], just_lost: set[str]) -> End:
    """End the attempt of a lost worker, from a row of `lost_steps`."""
    run_id, step, attempt, worker, worker_id, worker_status = row
    # If a worker was declared lost before it claimed the step (its clock was wrong, or it was stopped), the step did
    # not cause the loss. One wrong clock thus costs a step one loss, however often the worker claims it until that is
    # noticed.
    is_its_fault = worker_status == "stopped" or worker_id in just_lost
    name = worker or "unknown"
    error = ErrorInfo(WORKER_LOST, f"worker {name} stopped renewing its lease")
    outcome = Outcome(run_id, step, attempt, Verdict.LOST, error=error)
    return end_attempt(act, runs, outcome, Lost(attempt, is_counted=is_its_fault), by=name)


def prune(act: Act, *, older_than: timedelta, prefix: str | None = None) -> int:
    """Delete up to some hundred runs that ended longer ago than `older_than`, oldest first. Returns how many."""
    before = earlier(act.now, older_than)
    rows = act.tx.all(
        "prunable_runs", horizon=first_id_at(before), before=before, limit=PRUNE_AT_ONCE, prefix=prefix
    )  # fmt: skip
    return delete_runs(act.tx, some_of(rows))


def prune_workers(act: Act) -> int:
    """Delete workers that ended over an hour ago: there is a row for each process, and for each `segue.run`."""
    return len(act.tx.all("prune_workers", before=act.now - WORKERS_KEPT, limit=WORKERS_AT_ONCE))


def some_of(runs: Iterable[Sequence[Any]]) -> list[str]:
    """The first of these (id, steps) that together have few enough steps; at least one."""
    chosen: list[str] = []
    steps = 0
    for run_id, count in runs:
        if chosen and steps + count > STEPS_AT_ONCE:
            break
        steps += count
        chosen.append(str(run_id))
    return chosen


def delete_runs(tx: Transaction, ids: Sequence[str]) -> int:
    """Delete those of these runs that are final and not held, with all their rows. Returns how many.

    The steps of a single large run are left to `delete_steps`. Without their run they cannot be found.
    """
    locked, _ = lock_free_runs(tx, ids)
    busy = set(unfinished_runs(tx, MOST_UNFINISHED)) if locked else set()  # a retry may be half-written
    final = [run.id for run in locked if RunStatus(run.status).is_final and run.id not in busy]
    if not final:
        return 0
    if len(final) == 1 and tx.all("size_of_run", run_id=final[0])[0][0] > STEPS_AT_ONCE:
        tx.all("discard_run", run_id=final[0])
    else:
        for statement in _OF_STEPS:
            tx.all(statement, ids=final)
    for statement in _OF_RUNS:
        tx.all(statement, ids=final)
    return len(final)


def delete_steps(act: Act) -> int:
    """Delete some thousand steps of a large run that was deleted; 0 if there are none."""
    found = act.tx.all("take_discard", count=STEPS_AT_ONCE)
    for run_id, first, end, steps in found:
        for statement in _OF_SOME_STEPS:
            act.tx.later(statement, run_id=run_id, first=first, end=end)
        if end >= steps:
            act.tx.later("end_discard", run_id=run_id)
    return len(found)


def check_invariants(tx: Transaction, statements: Sequence[str]) -> list[tuple[str, str]]:
    """Check the invariants. Returns (run id, what is wrong) for every row that violates one.

    They do not apply to a run with unfinished work, because its counters are ahead of its steps, nor to the steps of a
    large run that was deleted.
    """
    answers = [tx.later(statement) for statement in statements]
    found = [(str(run_id), what) for answer in answers for run_id, what in answer.rows()]
    if not found:
        return found
    unfinished = set(unfinished_runs(tx, MOST_UNFINISHED))
    gone = {str(row[0]) for row in tx.all("discarded_runs")}
    return [
        (run_id, what)
        for run_id, what in found
        if run_id not in gone and (run_id not in unfinished or not tx.all("run_status", run_id=run_id))
    ]
