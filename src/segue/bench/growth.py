"""Fills a scratch database with a history, or with delayed steps.

The rows are written with SQL, not by the engine: a million starts would take minutes. They look like the engine's
(`segue db check` accepts them), and their ids are older than all others.
"""

from __future__ import annotations

from segue.bench.scratch import SQLITE, Scratch

FINISHED = "finished runs"
DELAYED = "delayed steps"
_AT_ONCE = 100_000

# Each: the rows of segue_runs, then those of segue_steps, for the numbers {first} to {last}.
_RUNS = (
    "INSERT INTO segue_runs (id, workflow, status, waiting_on, steps, result_expr, created_at, started_at, "
    "finished_at) SELECT {id}, 'segue.bench.growth', {status}, {waiting_on}, 1, '[\"ref\",0,[]]', {past}, {began}, "
    "{ended} FROM {numbers}"
)
_STEPS = (
    "INSERT INTO segue_steps (run_id, step, name, task, status, gate, ready_at, delay, attempt, children, args, "
    "result, started_at, finished_at, seconds) SELECT {id}, 0, 'single', 'segue.bench.tasks.single', {step_status}, "
    "{gate}, {ready_at}, {delay}, {attempt}, {children}, '[[0,0],{{}}]', {result}, {began}, {ended}, {seconds} "
    "FROM {numbers}"
)
_SQLITE = {
    "id": "printf('01700000-0000-7000-8000-%012x', n)",
    "numbers": (
        "(WITH RECURSIVE c(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM c WHERE n < {last}) SELECT n FROM c)"
    ),
    "past": "'2022-01-01 00:00:00.000000'",
    "future": "'2099-01-01 00:00:00.000000'",
    "children": "'[-1]'",
}
_POSTGRES = {
    "id": "('01700000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid",
    "numbers": "generate_series({first}, {last}) AS c(n)",
    "past": "timestamptz '2022-01-01 00:00:00Z'",
    "future": "timestamptz '2099-01-01 00:00:00Z'",
    "children": "'{-1}'::integer[]",
}
_FINISHED = {
    "status": "'succeeded'", "waiting_on": "0", "step_status": "'succeeded'", "gate": "NULL", "ready_at": "{past}",
    "delay": "NULL", "attempt": "1", "result": "'1'", "began": "{past}", "ended": "{past}", "seconds": "0.001",
}  # fmt: skip
_DELAYED = {
    "status": "'pending'", "waiting_on": "1", "step_status": "'ready'", "gate": "'timer'", "ready_at": "{future}",
    "delay": "86400", "attempt": "0", "result": "NULL", "began": "NULL", "ended": "NULL", "seconds": "NULL",
}  # fmt: skip


def fill(scratch: Scratch, what: str, count: int) -> None:
    """Write `count` runs of one step each, `FINISHED` or `DELAYED`."""
    for first in range(0, count, _AT_ONCE):
        scratch.run_sql(*_statements(scratch.dialect, what, first, min(first + _AT_ONCE, count) - 1))
    if scratch.dialect == SQLITE:
        scratch.run_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    else:  # what autovacuum would have done while so many rows were written
        scratch.run_sql("VACUUM ANALYZE segue_runs", "VACUUM ANALYZE segue_steps", "CHECKPOINT")


def _statements(dialect: str, what: str, first: int, last: int) -> list[str]:
    words = dict(_SQLITE if dialect == SQLITE else _POSTGRES)
    words["numbers"] = words["numbers"].format(first=first, last=last)
    kind = _FINISHED if what == FINISHED else _DELAYED
    words |= {key: value.format(**words) for key, value in kind.items()}
    return [template.format(**words) for template in (_RUNS, _STEPS)]
