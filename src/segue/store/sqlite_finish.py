"""Finishes steps on SQLite: a call costs microseconds there, so a batch is processed row by row.

PostgreSQL does the same in one statement (`finish` in statements/postgres.sql). The same contract tests check both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from segue.model import RUN, Gate, JoinVerdict, StepStatus, judge_join
from segue.store.named import Statement
from segue.store.protocol import RELEASED_AT_ONCE, Finish, Finished, Follow, FollowKind, Row
from segue.store.sqlite_schema import Executes, changes
from segue.store.sqlite_wide import WIDTH, parameters, pieces, wide

_NONE: frozenset[tuple[str, int]] = frozenset()
_encode = msgspec.json.Encoder().encode
_decode_integers = msgspec.json.Decoder(list[int]).decode


class _Above:
    """What a child learns about its parents in one batch."""

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
    connection: Executes,
    statements: Mapping[str, Statement],
    batch: Sequence[Finish],
    now: datetime,
    text: Callable[[datetime], str],
) -> _Done:
    """Write the final statuses, then update every child once for all of its parents in the batch."""
    moment = text(now)
    done = _write(connection.execute, statements, [(*finish, moment) for finish in batch])
    return _release(connection, statements, done, now, text)


def release_more(
    connection: Executes,
    statements: Mapping[str, Statement],
    step: tuple[str, int],
    released: int,
    now: datetime,
    text: Callable[[datetime], str],
) -> _Done:
    """Update the children of an ended step, after the first `released`."""
    done = connection.execute(statements["ended_step"].sql, step).fetchall()
    return _release(connection, statements, done, now, text, released=released)


def _release(
    connection: Executes,
    statements: Mapping[str, Statement],
    done: Sequence[Row],
    now: datetime,
    text: Callable[[datetime], str],
    *,
    released: int = 0,
) -> _Done:
    execute, moment = connection.execute, text(now)
    children: dict[tuple[str, int], _Above] = {}
    follow: list[Follow] = []
    for run_id, status, encoded, step in done:
        numbers = _decode_integers(encoded)
        if len(numbers) > RELEASED_AT_ONCE:
            numbers = numbers[released:] if released else numbers
            if len(numbers) > RELEASED_AT_ONCE:
                follow.append(Follow(run_id, step, RELEASED_AT_ONCE, FollowKind.TELL))
                numbers = numbers[:RELEASED_AT_ONCE]
        for child in numbers:
            above = children.get((run_id, child))
            if above is None:
                above = children[run_id, child] = _Above()
            above.add(status)
    release_plain, end_plain = statements["release_plain_step"].sql, statements["end_plain_run"].sql
    at_once = _release_many(execute, statements, children, moment) if len(children) >= WIDTH else _NONE
    started = len(at_once)
    for (run_id, child), above in children.items():
        if at_once and (run_id, child) in at_once:
            continue
        if child == RUN:
            if changes(execute(end_plain, (moment, run_id, above.total))):
                follow.append(Follow(run_id, RUN, 0, FollowKind.ENDED))
            elif execute(statements["release_run"].sql, (above.total, run_id)).fetchone()[0] == 0:
                follow.append(Follow(run_id, RUN, 0, FollowKind.DRAINED))
            continue
        if above.total == above.succeeded and changes(execute(release_plain, (moment, run_id, child, above.total))):
            started += 1
            continue
        counts = (above.total, above.failed, above.skipped, run_id, child)
        row = execute(statements["release_step"].sql, counts).fetchone()
        if row is None:
            continue  # it has already started, or was skipped or cancelled
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


def _release_many(
    execute: Callable[..., sqlite3.Cursor],
    statements: Mapping[str, Statement],
    children: Mapping[tuple[str, int], _Above],
    moment: str,
) -> set[tuple[str, int]]:
    """Release the plain children of each run that has many of them together; returns those that were released."""
    groups: dict[tuple[str, int], list[int]] = {}
    for (run_id, child), above in children.items():
        if child != RUN and above.total == above.succeeded:
            groups.setdefault((run_id, above.total), []).append(child)
    together, released = statements["release_plain_steps"].sql, set[tuple[str, int]]()
    for (run_id, total), steps in groups.items():
        if len(steps) >= WIDTH:
            found = execute(together, (moment, run_id, _encode(steps).decode(), total))
            released.update((run_id, step) for (step,) in found.fetchall())
    return released


def _write(
    execute: Callable[..., sqlite3.Cursor], statements: Mapping[str, Statement], rows: Sequence[Row]
) -> list[Row]:
    """Write the final statuses; returns (run, status, children, step) of each step that was not refused."""
    done: list[Row] = []
    look, write = statements["step_to_finish"].sql, statements["finish_step"].sql
    for width, piece in pieces(rows):
        if width > 1:
            _write_many(execute, statements, width, piece, done)
            continue
        for run_id, step, attempt, from_status, status, *rest in piece:
            found = execute(look, (run_id, step, attempt, from_status)).fetchone()
            if found is not None:
                rowid, children = found
                execute(write, (rowid, status, *rest))
                done.append((run_id, status, children, step))
    return done


def _write_many(
    execute: Callable[..., sqlite3.Cursor],
    statements: Mapping[str, Statement],
    width: int,
    rows: Sequence[Row],
    done: list[Row],
) -> None:
    """The same for `width` rows: of several finishes of one step, the first that is not refused counts."""
    asked = {
        (run_id, step, attempt, from_status): values for run_id, step, attempt, from_status, *values in reversed(rows)
    }
    keys = [key for run_id, step, *_ in rows for key in (run_id, step)]
    look = wide(statements["steps_to_finish"].sql, width) or ""
    final: list[Row] = []
    for rowid, run_id, step, attempt, status, children in execute(look, keys):
        values = asked.pop((run_id, step, attempt, status), None)
        if values is not None:
            final.append((rowid, *values))
            done.append((run_id, values[0], children, step))
    for many, piece in pieces(final):
        if many > 1:
            execute(wide(statements["finish_steps"].sql, many) or "", parameters(piece))
            continue
        for row in piece:
            execute(statements["finish_step"].sql, row)
