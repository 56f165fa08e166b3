"""Finishing steps on SQLite: a call costs microseconds there, so a batch is worked row by row.

PostgreSQL does the same in one statement (`finish` in statements/postgres.sql); one contract suite holds both to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from segue.model import RUN, Gate, JoinVerdict, StepStatus, judge_join
from segue.store.named import Statement
from segue.store.protocol import Finish, Finished, Follow, FollowKind, Row
from segue.store.sqlite_wide import WIDTH, parameters, wide

_decode_integers = msgspec.json.Decoder(list[int]).decode


class _Above:
    """What a child hears of its parents in one batch."""

    __slots__ = ("failed", "skipped", "total")

    def __init__(self) -> None:
        self.total = self.failed = self.skipped = 0

    def add(self, status: str) -> None:
        self.total += 1
        if status == StepStatus.SKIPPED:
            self.skipped += 1
        elif status != StepStatus.SUCCEEDED:
            self.failed += 1

    @property
    def succeeded(self) -> int:
        return self.total - self.failed - self.skipped


class _Done:
    __slots__ = ("_finished",)

    def __init__(self, finished: Finished) -> None:
        self._finished = finished

    def result(self) -> Finished:
        return self._finished


def finish(
    connection: sqlite3.Connection,
    statements: Mapping[str, Statement],
    batch: Sequence[Finish],
    now: datetime,
    text: Callable[[datetime], str],
) -> _Done:
    """Write the final statuses, then tell every child once what all of its parents in the batch did."""
    execute = connection.execute
    moment = text(now)
    done = _write(execute, statements, [(*finish, moment) for finish in batch])
    children: dict[tuple[str, int], _Above] = {}
    for run_id, status, numbers in done:
        for child in _decode_integers(numbers):
            above = children.get((run_id, child))
            if above is None:
                above = children[run_id, child] = _Above()
            above.add(status)
    started, release_plain, end_plain = 0, statements["release_plain_step"].sql, statements["end_plain_run"].sql
    follow: list[Follow] = []
    for (run_id, child), above in children.items():
        if child == RUN:
            if execute(end_plain, (moment, run_id, above.total)).fetchone():
                follow.append(Follow(run_id, RUN, 0, FollowKind.ENDED))
            elif execute(statements["release_run"].sql, (above.total, run_id)).fetchone()[0] == 0:
                follow.append(Follow(run_id, RUN, 0, FollowKind.QUIET))
            continue
        if above.total == above.succeeded and execute(release_plain, (moment, run_id, child, above.total)).fetchone():
            started += 1
            continue
        counts = (above.total, above.failed, above.skipped, run_id, child)
        row = execute(statements["release_step"].sql, counts).fetchone()
        if row is None:
            continue  # it started already, or was skipped or cancelled
        rule, waiting_on, failed, skipped, is_join, delay, ready_at, attempt, lane, held = row
        verdict = judge_join(rule, waiting_on, failed, skipped, above.succeeded)
        if verdict is JoinVerdict.SKIP or (verdict is JoinVerdict.START and is_join):
            kind = FollowKind.SKIP if verdict is JoinVerdict.SKIP else FollowKind.JOIN
            follow.append(Follow(run_id, child, attempt, kind))
        elif verdict is JoinVerdict.START:
            due = text(now + timedelta(seconds=delay)) if delay else moment
            due = max(due, ready_at or due)
            gate = held or (Gate.TIMER if due > moment else Gate.LIMIT if lane else None)
            execute(statements["make_ready"].sql, (due, gate, run_id, child))
            started += 1
    return _Done(Finished(len(done), started, follow))


def _write(
    execute: Callable[..., sqlite3.Cursor], statements: Mapping[str, Statement], rows: Sequence[Row]
) -> list[Row]:
    """Write the final statuses; returns (run, status, children) of each step that was not refused."""
    whole = len(rows) - len(rows) % WIDTH
    if whole and len({row[:2] for row in rows}) < len(rows):
        whole = 0  # of the same step twice, the first counts
    done: list[Row] = []
    for first in range(0, whole, WIDTH):
        many = wide(statements["finish_steps"].sql) or ""
        done += execute(many, parameters(rows[first : first + WIDTH])).fetchall()
    for row in rows[whole:]:
        done += execute(statements["finish_step"].sql, row).fetchall()
    return done
