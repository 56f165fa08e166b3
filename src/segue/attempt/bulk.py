"""Carries out an order for many runs, inside the step of the task `segue.bulk`.

The runs are taken in batches, the newest first. What came of a batch is recorded as a checkpoint, so an attempt that
follows a crash goes on with the next batch; the batch in which the process died is done again, which changes nothing.
Promises: a run that is newer than the order's filter says is not touched, nor is the run that carries out the order; a
cancellation is noticed between two runs, and what was done stays.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from segue.authoring.checkpoint import checkpoint
from segue.authoring.context import Context, progress
from segue.engine.bulk import BulkOrder, narrowed, say_to_each, verb_of
from segue.engine.engine import Engine
from segue.engine.halting import await_halts
from segue.engine.views.select import ids_of, page_of_ids
from segue.errors import DefinitionError, SegueError
from segue.model import RunStatus
from segue.store.protocol import Store

BATCH, FIRST_BATCHES, LARGER_BATCH = 200, 1000, 2000
"""Runs in a batch; after so many batches they are larger, because a step has a limited number of checkpoints."""

MOST_ERRORS = 100  # of which the texts are kept; all are counted
MOST_COUNTED = 1_000_000
COUNTED_AT_ONCE = 5000


class BulkResult(msgspec.Struct):
    """What came of an order, or of one batch of it."""

    changed: int = 0  # runs on which it had an effect
    unchanged: int = 0  # runs that were in that state already, or in one where the verb has no effect
    failed: int = 0
    errors: dict[str, str] = {}  # run id → why the verb failed; of the first ones
    unconfirmed: list[str] = []  # processes of executors that did not confirm a pause in time

    @property
    def seen(self) -> int:
        """How many runs it was applied to."""
        return self.changed + self.unchanged + self.failed

    def add(self, other: BulkResult) -> None:
        """Add what came of a batch."""
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.failed += other.failed
        for run_id, why in other.errors.items():
            if len(self.errors) < MOST_ERRORS:
                self.errors[run_id] = why
        self.unconfirmed = sorted({*self.unconfirmed, *other.unconfirmed})


def carry_out(store: Store, context: Context, order: dict[str, Any]) -> dict[str, Any]:
    """Do it, from where an earlier attempt was. Returns the result as JSON values.

    Raises DefinitionError for an order that cannot be read.
    """
    try:
        bulk = msgspec.convert(order, BulkOrder)
    except msgspec.ValidationError as error:
        raise DefinitionError(f"the order for many runs cannot be read: {error}") from error
    work = _Work(Engine(store), context, bulk)
    total = checkpoint("count", work.count)
    done = BulkResult()
    before: str | None = None
    number = 0
    while True:
        progress(done.seen, total or None, work.told(done))
        number += 1
        size = BATCH if number <= FIRST_BATCHES else LARGER_BATCH
        seed = checkpoint(f"begin batch {number}", work.engine.new_id) if bulk.verb == "retry" else work.engine.new_id()
        came = checkpoint(f"batch {number}", partial(work.batch, seed, done, total, size), before)
        done.add(msgspec.convert(came["done"], BulkResult))
        before = came["last"]
        if before is None:
            progress(done.seen, max(total or 0, done.seen), work.told(done))
            return {"verb": bulk.verb, **msgspec.to_builtins(done)}


class _Work:
    """One order, on one engine."""

    def __init__(self, engine: Engine, context: Context, order: BulkOrder) -> None:
        self.engine = engine
        self._context = context
        self._order = order
        self._chosen = narrowed(order.verb, order.chosen)

    def count(self) -> int:
        """How many runs there are now; 0 if there are too many to count."""
        count = 0
        for _ in ids_of(self.engine, self._chosen, page=COUNTED_AT_ONCE):
            count += 1
            if count % COUNTED_AT_ONCE == 0:
                progress(0, None, f"counted {count:,} runs")
            if count > MOST_COUNTED:
                return 0
        return count

    def batch(self, seed: str, before_it: BulkResult, total: int, size: int, before: str | None) -> dict[str, Any]:
        """Apply the verb to the next runs. Returns what came of it, and the id after which the next batch begins."""
        with self.engine.reading() as tx:
            ids = page_of_ids(tx, self._chosen, before=before, limit=size)
        done = BulkResult()
        paused: list[str] = []
        others = (run_id for run_id in ids if run_id != self._context.run_id)
        for run_id, came in say_to_each(self.engine, verb_of(self._order, seed=seed), others):
            if isinstance(came, SegueError):
                done.failed += 1
                if len(before_it.errors) + len(done.errors) < MOST_ERRORS:
                    done.errors[run_id] = str(came)
            else:
                done.changed += came.changed
                done.unchanged += not came.changed
                if came.status == RunStatus.PAUSED:
                    paused.append(run_id)
            progress(before_it.seen + done.seen, total or None, self.told(before_it, done))
        if paused and not before_it.unconfirmed:  # one that does not answer is waited for once
            done.unconfirmed = await_halts(self.engine, paused)
        return {"done": msgspec.to_builtins(done), "last": ids[-1] if len(ids) == size else None}

    def told(self, *parts: BulkResult) -> str:
        """The message beside the progress."""
        changed, unchanged, failed = (
            sum(getattr(part, name) for part in parts) for name in ("changed", "unchanged", "failed")
        )
        return f"{changed:,} changed, {unchanged:,} unchanged" + (f", {failed:,} failed" if failed else "")
