"""The run's lock, which whoever changes steps of a run has: what `lock_runs` returns, and what it means for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from segue.errors import RunNotFoundError
from segue.model import RunStatus
from segue.store.protocol import Row, Transaction


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
        """Whether it fails fast or is being cancelled. What runs after its outcome is a hook, and works to its end."""
        return self.intent is not None and self.outcome is None

    @property
    def is_held(self) -> bool:
        """Whether nothing of it may start: it is paused, or waits for its admission."""
        is_waiting = self.limit_name is not None and self.admitted_at is None
        return self.status == RunStatus.PAUSED or (is_waiting and self.intent is None and self.outcome is None)


def lock_runs(tx: Transaction, run_ids: Iterable[str]) -> list[LockedRun]:
    """Lock these runs, in the order of their ids; those that are gone are left out."""
    return [LockedRun(*row) for row in tx.all("lock_runs", ids=sorted(run_ids))]


def lock_run(tx: Transaction, run_id: str) -> LockedRun:
    """Lock one run; raises RunNotFoundError."""
    locked = lock_runs(tx, [run_id])
    if not locked:
        raise RunNotFoundError(
            f"No run has the id {run_id}. It may have been pruned; `segue runs` lists those there are."
        )
    return locked[0]


def unusual_runs(rows: Iterable[Row]) -> list[LockedRun]:
    """Those among the rows of `lock_runs` that are ending, paused, or have a limit of runs. Most are none of it."""
    return [LockedRun(*row) for row in rows if row[2] is not None or row[5] is not None or row[1] == RunStatus.PAUSED]
