"""The engine: every act on the database that changes a run, one transaction each.

    start     a plan becomes a run                      turn      a worker records, releases, claims
    cancel    a run is asked to end                     rescue    steps of lost workers become claimable again
    release   a worker gives back what it never began   prune     old runs are deleted

An act that raises StoreUnavailableError may or may not have happened; every one of them may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec

from segue.engine import admission, chores, control
from segue.engine.claiming.places import Spot
from segue.engine.claiming.standing import declare_limits
from segue.engine.identity import WorkerIdentity
from segue.engine.ids import chance, new_id
from segue.engine.start import NewRun, start_runs
from segue.engine.turn import Turn, TurnMemory, TurnRequest, TurnResult
from segue.engine.watch import Watch
from segue.errors import StoreConflictError, StoreError, StoreUnavailableError
from segue.model import RunStatus
from segue.plan.graph import LimitTerms, Plan
from segue.store import named
from segue.store.protocol import Store, Transaction

START_AT_ONCE = 1000
_TRIES = 4
_ADMISSION_TRIES, _ADMISSION_SECONDS = 5, 0.003
T = TypeVar("T")


class Engine:
    """Acts on one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.watch = Watch(store)
        self._memory = TurnMemory()

    def start(
        self, plans: Sequence[tuple[Plan, str | None]], *, connection: Any | None = None, begun: set[str] | None = None
    ) -> list[str]:
        """Start a run for each (plan, key), durable when this returns; with `connection`, when its owner commits.

        Returns their ids. Many are committed in batches; a repetition after an error starts nothing twice where keys
        are given. `begun` is told the ids that runs which were not there yet have got.
        """
        now = self.store.now()
        runs = [NewRun(new_id(now), plan, key) for plan, key in plans]
        if begun is not None:
            begun.update(run.id for run in runs)
        if connection is not None:
            with self.watch.over(self.store.adopt(connection), now, is_ours=False) as tx:
                return start_runs(self.store, tx, runs, now, is_ours=False)
        ids: list[str] = []
        missed: set[Spot] = set()
        for first in range(0, len(runs), START_AT_ONCE):
            batch = runs[first : first + START_AT_ONCE]
            ids += self.act(partial(self._start_batch, batch, missed))
        self._admit_missed(missed)
        return ids

    def turn(self, worker: WorkerIdentity, request: TurnRequest) -> TurnResult:
        """One turn of a worker. Not repeated here: the worker knows what it still has to say."""
        result = Turn(self.store, worker, request, self._memory, self.watch).take()
        if result.missed:
            self._admit_missed(result.missed)
        return result

    def cancel(self, run_id: str) -> str:
        """End a run; returns its status."""
        return self.act(lambda tx, now: control.cancel_run(self.store, tx, run_id, now)).status

    def register(
        self, worker: WorkerIdentity, *, pool: str, concurrency: int, version: str, limits: Sequence[LimitTerms] = ()
    ) -> None:
        """Write down a worker that begins, with its first lease, and what its code says of limits."""
        self.store.now()
        with self.store.transaction() as tx:
            now = self.store.now()  # as in a turn: the lease begins when the transaction has
            tx.all(
                "insert_worker", id=worker.id, name=worker.name, queues=_json(worker.queues), tasks=_json(worker.tasks),
                pool=pool, concurrency=concurrency, version=version, now=now,
                lease_until=now + timedelta(seconds=worker.lease_seconds),
            )  # fmt: skip
            declare_limits(tx, limits, now)

    def unregister(self, worker: WorkerIdentity) -> None:
        """Write down that a worker ended; what it still had becomes claimable with the next rescue."""
        now = self.store.now()
        with self.store.transaction() as tx:
            tx.all("stop_worker", worker_id=worker.id, now=now)

    def release_unknown(self, worker_id: str, known: set[tuple[str, int, int]]) -> int:
        """Give back steps that the database says this worker runs and that it does not know of; returns how many.

        That happens when the answer to a claim was lost: nobody else would ever take them while the worker lives.
        """
        now = self.store.now()
        with self.watch.over(self.store.transaction(), now) as tx:
            mine = {(row[0], row[1], row[2]) for row in tx.all("steps_of_worker", worker_id=worker_id)}
            unknown = sorted(mine - known)
            if unknown:
                chores.release_steps(self.store, tx, unknown, now)
        return len(unknown)

    def is_final(self, run_id: str) -> bool:
        """Has the run ended (or is it gone)?"""
        with self.store.reading() as tx:
            rows = tx.all("run_status", run_id=run_id)
        return not rows or RunStatus(rows[0][0]).is_final

    def rescue(self) -> int:
        """Take steps away from lost workers, and admit runs that wait for nothing; returns how many steps."""
        rescued = self.act(lambda tx, now: chores.rescue(self.store, tx, now))
        self.admit_waiting()
        return rescued

    def admit_waiting(self) -> int:
        """Admit runs that wait although there is a place: what starts and ends have missed. Returns how many."""
        total, at = 0, ("", "")
        while True:
            runs, further = self.act(partial(admission.admit_waiting, self.store, after=at))
            total += runs
            if further is None:
                return total
            at = further

    def prune(self, *, older_than: timedelta) -> int:
        """Delete one batch of runs that ended longer ago; returns how many."""
        return self.act(lambda tx, now: chores.prune(self.store, tx, now, older_than=older_than))

    def broken_invariants(self) -> list[tuple[str, str]]:
        """(run id, what is wrong) for everything in the database that must not be; empty when all is well."""
        checks = sorted(name for name in named.load(self.store.dialect) if name.startswith("check_"))
        with self.store.reading() as tx:
            return chores.check_invariants(tx, checks)

    def reading(self) -> AbstractContextManager[Transaction]:
        """For looking: the queries of `segue.engine.views.look` take it."""
        return self.store.reading()

    def _start_batch(self, runs: Sequence[NewRun], missed: set[Spot], tx: Transaction, now: datetime) -> list[str]:
        return start_runs(self.store, tx, runs, now, missed=missed)

    def _admit_missed(self, missed: set[Spot]) -> None:
        """Admit runs of limits that somebody else had in hand. What is missed again, the chore finds."""
        for _ in range(_ADMISSION_TRIES):
            if not missed:
                return
            time.sleep(_ADMISSION_SECONDS * (1 + chance()))
            with suppress(StoreError):
                missed = self.act(partial(admission.admit, self.store, spots=missed)).missed

    def act(self, act: Callable[[Transaction, datetime], T]) -> T:
        """Do an act that may be repeated in one transaction, again when the connection broke or it was in conflict.

        Every try goes by the time of the first: while the database was away nobody could renew a lease, so a rescue
        must not find that they all ran out.
        """
        now: datetime | None = None
        for left in range(_TRIES - 1, -1, -1):
            try:
                now = now or self.store.now()
                with self.watch.over(self.store.transaction(), now) as tx:
                    tx.ended_runs = []
                    done = act(tx, now)
                    admission.admit_after(self.store, tx, now, tx.ended_runs)
                    return done
            except (StoreUnavailableError, StoreConflictError):
                if not left:
                    raise
                time.sleep(0.05 * (_TRIES - left))
        raise AssertionError("unreachable")


def _json(values: Sequence[str]) -> str:
    return msgspec.json.encode(list(values)).decode()
