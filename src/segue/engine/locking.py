"""The run's lock, which every act needs that changes steps of a run: `lock_runs`, and the state that it returns."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from segue.errors import RunNotFoundError, StoreBusyError
from segue.model import RunStatus
from segue.store.protocol import Row, Transaction

_MOMENTS = (0.01, 0.03, 0.1)  # seconds


class LockedRun(NamedTuple):
    """A run whose lock this transaction has."""

    id: str
    status: str
    intent: str | None
    outcome: str | None
    fail_fast: bool
    limit_name: str | None
    admitted_at: Any

    @property
    def is_ending(self) -> bool:
        """Whether it fails fast or is being cancelled. After its outcome, only hooks run, and they run to their end."""
        return self.intent is not None and self.outcome is None

    @property
    def is_held(self) -> bool:
        """Whether nothing of it may start: it is paused, or waits for its admission."""
        is_waiting = self.limit_name is not None and self.admitted_at is None
        return self.status == RunStatus.PAUSED or (is_waiting and self.intent is None and self.outcome is None)


def lock_runs(tx: Transaction, run_ids: Iterable[str]) -> list[LockedRun]:
    """Lock these runs, in the order of their ids; runs that are gone are left out."""
    return [LockedRun(*row) for row in tx.all("lock_runs", ids=sorted(run_ids))]


def lock_free_runs(tx: Transaction, run_ids: Iterable[str]) -> tuple[list[LockedRun], set[str]]:
    """Lock those of these runs that are free, without waiting; also returns the ids of the others."""
    ids = sorted(run_ids)
    if not ids:
        return [], set()
    locked = [LockedRun(*row) for row in tx.all("lock_free_runs", ids=ids)]
    missing = sorted(set(ids) - {run.id for run in locked})
    there = {str(row[0]) for row in tx.all("existing_runs", ids=missing)} if missing else set()
    return locked, there


def held_runs(tx: Transaction, run_ids: Iterable[str]) -> set[str]:
    """Those of these runs that another transaction holds; the others are locked from now on."""
    return lock_free_runs(tx, run_ids)[1]


def lock_within_a_moment(tx: Transaction, run_id: str) -> None:
    """Lock a run that a turn may hold for a moment. Raises StoreBusyError if it is held for longer.

    For chores: their work for other runs must not wait for this one.
    """
    for pause_seconds in (*_MOMENTS, None):
        if not held_runs(tx, [run_id]):
            return
        if pause_seconds is None:
            raise StoreBusyError(f"run {run_id} is held by another session, which `segue explain {run_id}` names.")
        time.sleep(pause_seconds)


def lock_run(tx: Transaction, run_id: str) -> LockedRun:
    """Lock one run. Raises RunNotFoundError."""
    locked = lock_runs(tx, [run_id])
    if not locked:
        raise RunNotFoundError(f"No run has the id {run_id}. It may have been pruned; `segue runs` lists the runs.")
    return locked[0]


def unusual_runs(rows: Iterable[Row]) -> list[LockedRun]:
    """Those among the rows of `lock_runs` that are ending, paused, or have a limit of runs. Most are none of these."""
    return [
        run
        for run in map(LockedRun._make, rows)
        if run.intent is not None or run.limit_name is not None or run.status == RunStatus.PAUSED
    ]


def begun_runs(locked: Iterable[Row]) -> frozenset[str]:
    """The locked runs that have begun already."""
    return frozenset([run_id for run_id, status, *_ in locked if status == RunStatus.RUNNING])


def hold_paused(tx: Transaction, locked: Iterable[LockedRun]) -> None:
    """Gate the ready steps of those of these runs that are paused, or wait for their admission."""
    hold_steps(tx, [run.id for run in locked if run.is_held])


def hold_steps(tx: Transaction, run_ids: Iterable[str]) -> None:
    """Gate the ready steps of these runs; the caller holds their locks."""
    for run_id in sorted(run_ids):
        tx.later("hold_steps", run_id=run_id)
