"""Which runs use which payloads: recorded with the row that refers to one, so that an unused one can be deleted.

Promises: a committed reference has its use in the same transaction; uses are dropped with their run; a payload that no
run uses is deleted, but not before `GRACE_SECONDS` have passed after the last day on which it may have been stored.
Until then an outcome may still come that refers to it, however long its process waited for the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from segue.clock import earlier
from segue.engine.act import Act
from segue.model import Outcome
from segue.plan.frames import OPENING
from segue.plan.payload_frames import payloads_in
from segue.store.protocol import Transaction

DAY_SECONDS = 86_400
GRACE_SECONDS = 86_400.0
"""How long a payload may be unused before it is deleted: longer than any outage of the database that work survives."""

SWEPT_AT_ONCE = 500


class Use(NamedTuple):
    """A payload that a run uses."""

    reference: str
    size: int  # bytes of its contents
    stored_at: Any
    run_id: str


class PayloadCounts(NamedTuple):
    """What the database knows of payloads."""

    payloads: int
    bytes: int  # of their contents, before they are compressed
    unused: int  # no run uses them any more


def uses_of(run_id: str, texts: Iterable[str], moment: Any) -> list[Use]:
    """The payloads that stored texts of a run refer to; `moment` is the time as it is stored."""
    return [Use(found.reference, found.size, moment, run_id) for text in texts for found in payloads_in(text)]


def write_uses(tx: Transaction, uses: Sequence[Use]) -> None:
    """Record that runs use payloads; again is no error. Nothing is sent if there are none.

    The caller holds the locks of the runs. The order is that of the references, so that two processes that record the
    same payloads do not wait for each other.
    """
    payloads = {use.reference: (use.reference, use.size, use.stored_at) for use in uses}
    if payloads:
        tx.each("put_payloads", [payloads[reference] for reference in sorted(payloads)])
        tx.each("use_payloads", sorted({(use.run_id, use.reference) for use in uses}))


def use_results(tx: Transaction, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Record the payloads that results are. A result that is a payload is one frame, and nothing else is looked at."""
    found = [outcome for outcome in outcomes if outcome.result is not None and outcome.result.startswith(OPENING)]
    if found:
        moment = tx.time(now)
        write_uses(tx, [use for each in found for use in uses_of(each.run_id, [each.result or ""], moment)])


def use_text(act: Act, run_id: str, text: str) -> None:
    """Record the payloads of a text that a person or another process gives to a run."""
    write_uses(act.tx, uses_of(run_id, [text], act.tx.time(act.now)))


class Looked(NamedTuple):
    """A look at payloads that no run may use any more."""

    kept: int  # runs use them, so they are not looked at again until one of these is deleted
    unused: list[str]  # references of those to be deleted


def look_for_unused(act: Act, *, grace_seconds: float = GRACE_SECONDS) -> Looked:
    """Look at a batch of payloads that are old enough. `forget_payloads` follows when unused ones are deleted."""
    before = earlier(act.now, timedelta(seconds=DAY_SECONDS + grace_seconds))
    kept = act.tx.all("keep_used_payloads", before=before, limit=SWEPT_AT_ONCE)
    rows = act.tx.all("unused_payloads", before=before, limit=SWEPT_AT_ONCE)
    return Looked(len(kept), [row[0] for row in rows])


def forget_payloads(act: Act, references: Sequence[str]) -> int:
    """Forget payloads that were deleted. Returns how many."""
    return len(act.tx.all("forget_payloads", references=list(references)))


def never_used(tx: Transaction, references: Sequence[str]) -> list[str]:
    """Those of these references that no run has used, as far as the database remembers."""
    known = {row[0] for row in tx.all("known_payloads", references=list(references))}
    return [reference for reference in references if reference not in known]


def count_payloads(tx: Transaction) -> PayloadCounts:
    """How many payloads the database knows."""
    [(payloads, size, unused)] = tx.all("count_payloads")
    return PayloadCounts(payloads, int(size), unused)
