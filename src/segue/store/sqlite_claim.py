"""Claims a few steps on SQLite: reads the first ready ones and updates them.

The claim in one statement makes four temporary tables, whatever it finds, and they take longer than the rest of its
work. If few steps are ready and the worker knows all their tasks, they are not needed. Nothing can change between
reading and writing: the transaction has the write lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache

from segue.store.named import Statement
from segue.store.protocol import Row
from segue.store.sqlite_schema import Executes

FEW = 4


def claim_few(
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
        for row in connection.execute(statements["first_ready"].sql, (queue, min(limit, FEW + 1))):
            _, _, _, _, task, *_ = row
            if task not in known or len(found) == FEW:
                return None
            found.append(row)
    except sqlite3.Error:  # a damaged step, which this worker may not need
        return None
    write = statements["claim_step"].sql
    claimed: list[Row] = []
    for *columns, rowid in found:
        _, _, attempt, *_ = columns
        connection.execute(write, (rowid, attempt, worker_id, now))
        claimed.append(tuple(columns))
    return claimed


@lru_cache(maxsize=64)
def _set_of(tasks: tuple[str, ...]) -> frozenset[str]:
    return frozenset(tasks)
