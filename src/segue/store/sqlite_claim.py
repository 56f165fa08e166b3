"""Claims steps on SQLite: reads the first ready ones, and updates them.

The claim in one statement makes four temporary tables, whatever it finds: they take longer than the rest of a small
claim, and a tenth of a large one. If the worker knows the tasks of all that is ready, they are not needed. Nothing can
change between reading and writing: the transaction has the write lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from segue.store.named import Statement
from segue.store.protocol import Row
from segue.store.sqlite_schema import Executes

_ROWID = 13  # of a ready step, behind the columns of a claimed one

_encode = msgspec.json.Encoder().encode


def claim_first(
    connection: Executes,
    statements: Mapping[str, Statement],
    queue: str,
    tasks: Sequence[str],
    limit: int,
    worker_id: str,
    now: str,
) -> list[Row] | None:
    """Claim what is ready, as the statement `claim` does. Returns None, with no effect, if that statement is needed."""
    known = _set_of(tuple(tasks))
    found: list[Row] = []
    try:
        for row in connection.execute(statements["first_ready"].sql, (queue, limit)):
            _, _, _, _, task, *_ = row
            if task not in known:
                return None
            found.append(row)
    except sqlite3.Error:  # a damaged step, which this worker may not need
        return None
    if len(found) == 1:
        connection.execute(statements["claim_step"].sql, (found[0][_ROWID], worker_id, now))
    elif found:
        rowids = _encode([row[_ROWID] for row in found]).decode()
        connection.execute(statements["claim_steps"].sql, (rowids, worker_id, now))
    return [row[:_ROWID] for row in found]


@lru_cache(maxsize=64)
def _set_of(tasks: tuple[str, ...]) -> frozenset[str]:
    return frozenset(tasks)
