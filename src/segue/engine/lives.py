"""The lives of workers: they register, renew their lease, end, and give back steps of claims whose answer was lost."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import msgspec

from segue.engine import breaking, chores, holding
from segue.engine.identity import WorkerIdentity
from segue.engine.ids import Ids, process_ids
from segue.engine.limiting.limit_rows import declare_limits
from segue.engine.statistics import put_statistics
from segue.engine.stored import storable
from segue.engine.tally import Tally
from segue.engine.watch import Watch
from segue.errors import PASSING_ERRORS, ConfigError, StoreError
from segue.model import ErrorInfo, Outcome
from segue.plan.graph import LimitTerms
from segue.plan.namespaces import DEFAULT, EVERY, limits_in, prefix_of, stored
from segue.store.protocol import Store

RENEWAL_SECONDS = 5.0  # the longest that a renewal outside of turns waits for the database's one lock

MOST_TRIES = 5
"""If a step that is to be given back was refused this often, its run is ended."""


class WorkerLives:
    """The calls of a worker besides its turns; an `Engine` handles them."""

    def __init__(self, store: Store, *, ids: Ids = process_ids, namespace: str = DEFAULT) -> None:
        self.store = store
        self.ids = ids
        self.namespace = namespace
        self.prefix = prefix_of(namespace)
        self.watch = Watch(store, ids=ids, prefix=self.prefix)
        self.tally = Tally()  # of attempts, for the statistics
        self._refused: dict[tuple[str, int, int], int] = {}  # steps that could not be given back, and how often

    def stored(self, name: str) -> str:
        """A name of this namespace in its stored form. Raises ConfigError if this engine covers all namespaces."""
        return stored(self.namespace, name)

    def in_one_namespace(self, what: str) -> None:
        """Raise ConfigError if this engine covers all namespaces, because the operation needs a single one."""
        if self.namespace == EVERY:
            raise ConfigError(f"namespace='*' stands for all namespaces: to {what}, name one of them.")

    def new_id(self) -> str:
        """An id of the database's time."""
        return self.ids.new(self.store.now())

    def register(
        self, worker: WorkerIdentity, *, pool: str, concurrency: int, version: str, limits: Sequence[LimitTerms] = (),
        code_version: str | None = None,
    ) -> None:  # fmt: skip
        """Register a worker that begins, with its first lease, and the limits in its code."""
        self.store.now()
        with self.store.transaction() as tx:
            now = self.store.now()  # read once the transaction is open, as in a turn: the lease begins then
            tx.all(
                "insert_worker", id=worker.id, name=worker.name, queues=_json(worker.queues), tasks=_json(worker.tasks),
                pool=pool, concurrency=concurrency, version=version, now=now,
                lease_until=now + timedelta(seconds=worker.lease_seconds), code_version=code_version,
                namespace=worker.namespace,
            )  # fmt: skip
            declare_limits(tx, limits_in(tuple(limits), worker.namespace), now)

    def unregister(self, worker: WorkerIdentity) -> None:
        """Record that a worker ended; its remaining steps become claimable with the next rescue."""
        now = self.store.now()
        with self.store.transaction() as tx:
            tx.all("stop_worker", worker_id=worker.id, now=now)
            put_statistics(tx, self.tally)
        self.tally.was_written(now)

    def count_outside(self, outcomes: Sequence[Outcome], queue: str) -> None:
        """Count attempts that ended at an executor whose queues begin with `queue`. It never fails."""
        with suppress(Exception):
            now = self.store.now()
            self.tally.ended_outside(outcomes, now, queue)
            if self.tally.is_due(now):
                with self.store.transaction() as tx:
                    put_statistics(tx, self.tally)
                self.tally.was_written(now)

    def renew(self, worker: WorkerIdentity) -> None:
        """Renew a worker's lease outside of its turns, and do nothing else; from any thread."""
        self.store.now()
        with self.store.patience(RENEWAL_SECONDS), self.store.transaction() as tx:
            now = self.store.now()
            until = now + timedelta(seconds=worker.lease_seconds)
            tx.all("renew_lease", worker_id=worker.id, now=now, lease_until=until)

    def release_unknown(self, worker_id: str, known: set[tuple[str, int, int]]) -> tuple[int, bool]:
        """Give back steps that the database assigns to this worker and that the worker does not know.

        That happens when the answer to a claim was lost: no other worker would ever take them while this one lives.
        Returns how many, and whether that was all: those of runs that another transaction holds are left for the next
        time.
        """
        with self.store.reading() as tx:
            rows = tx.all("steps_of_worker", worker_id=worker_id)
        mine = {(run_id, step, attempt) for run_id, step, attempt in rows}
        unknown = sorted(mine - known)
        if not unknown:
            return 0, True
        try:
            released = self._release(unknown)
        except PASSING_ERRORS:
            raise
        except Exception:  # noqa: BLE001 - any error that one of these steps causes
            released = sum(self._release_or_break(step) for step in unknown)
        return released, released == len(unknown)

    def _release(self, steps: Sequence[tuple[str, int, int]]) -> int:
        now = self.store.now()
        with self.watch.over(self.store.transaction(), now) as act:
            return chores.release_steps(act, steps)

    def _release_or_break(self, step: tuple[str, int, int]) -> int:
        try:
            return self._release([step])
        except PASSING_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - its rows are damaged if it fails again and again
            tries = self._refused[step] = self._refused.get(step, 0) + 1
            if tries < MOST_TRIES:
                return 0
            del self._refused[step]
            text = storable(f"it was claimed, and cannot be handed back, because its rows are damaged: {error}")
            self.break_run(step[0], step[1], ErrorInfo(type(error).__name__, text))
            return 1

    def break_run(self, run_id: str, step: int, error: ErrorInfo) -> bool:
        """End a run whose rows cannot be processed as failed over a step. False if it is final. See `breaking`."""
        now = self.store.now()
        with self.watch.over(self.store.transaction(), now) as act:
            return breaking.break_run(act, run_id, step, error)

    def holders(self, run_id: str) -> str:
        """Descriptions of the sessions that hold rows of a run; '' if there are none."""
        try:
            with self.store.reading() as tx:
                return ", ".join(holding.holders(tx, run_id))
        except StoreError:
            return ""


def _json(values: Sequence[str]) -> str:
    return msgspec.json.encode(list(values)).decode()
