"""Statistics of attempts in the database: written by every process into its own rows, added up by the leader.

    a worker, with its heartbeat     a row for each task and queue of the minute; said again, it is replaced
    after ten minutes                the rows of all processes become one, which belongs to none
    after two days                   the minutes of an hour become an hour
    after 90 days                    the hour is deleted

No row is shared by processes that count, so they never wait for each other. Promise: adding up neither loses nor
doubles what is in the rows, whichever process does it and however often.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from segue.engine.act import Act
from segue.engine.histogram import decoded, encoded
from segue.engine.stored import moment_of
from segue.engine.tally import MINUTE, Cell, Tally
from segue.store.protocol import Row, Transaction

HOUR = 3600
APART_FOR = timedelta(minutes=10)
MINUTES_FOR = timedelta(days=2)
HOURS_FOR = timedelta(days=90)
_AT_ONCE = 10


def put_statistics(tx: Transaction, tally: Tally) -> None:
    """Write what was counted. Call `tally.was_written` once it is committed."""
    rows = tally.rows(tx.time)
    if rows:
        tx.each("put_statistics", rows)


def add_up_statistics(act: Act) -> int:
    """Add up some of the minutes and hours for which it is time. Returns how many."""
    tx, now = act.tx, act.now
    found = [moment_of(tx, row[0]) for row in tx.all("statistics_apart", before=now - APART_FOR, limit=_AT_ONCE)]
    for at in found:
        if at is not None:
            _add_up(tx, MINUTE, at, [MINUTE])
    added = len(found)
    oldest = moment_of(tx, tx.all("oldest_minute", before=now - MINUTES_FOR)[0][0])
    if oldest is not None:
        _add_up(tx, HOUR, oldest.replace(minute=0, second=0, microsecond=0), [HOUR, MINUTE])
        added += 1
    tx.later("prune_statistics", before=now - HOURS_FOR)
    return added


def cell_of(row: Row) -> Cell:
    """The numbers of a row, from `attempts` on."""
    cell = Cell()
    cell.attempts, cell.failed, cell.seconds, cell.waited, took, waits = row
    cell.took, cell.waits = decoded(took), decoded(waits)
    return cell


def _add_up(tx: Transaction, span: int, at: datetime, spans: Iterable[int]) -> None:
    until = at + timedelta(seconds=span)
    cells: dict[tuple[str, str], Cell] = {}
    for taken in spans:
        for queue, task, *numbers in tx.all("take_statistics", span=taken, since=at, until=until):
            cells.setdefault((queue, task), Cell()).add(cell_of(tuple(numbers)))
    if cells:
        tx.each(
            "put_statistics",
            [
                (
                    span, tx.time(at), "", queue, task, cell.attempts, cell.failed, cell.seconds, cell.waited,
                    encoded(cell.took), encoded(cell.waits),
                )
                for (queue, task), cell in cells.items()
            ],
        )  # fmt: skip
