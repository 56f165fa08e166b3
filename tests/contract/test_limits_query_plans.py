"""Cost stays flat: with 50,000 steps in one lane and 10,000 lanes, claims and looks go through their indexes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from segue.store import named, postgres_sql
from tests.contract.stage import TASK, Stage, connect

DEEP, LANES, HOLDING, ENDED, WAITING = 50_000, 10_000, 200, 20_000, 5_000
NOW = "2026-01-01 00:00:00.000000"
RUN = "10000000-0000-7000-8000-000000000001"
WORKER = "019b7701-17d8-7125-b7a7-fa6e8e8c256b"
DEEP_LANE = f'["{TASK}",1,[["api","",1]],null,1.0]'
SETTINGS = "SET enable_seqscan = off; SET jit = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
MOST_ROWS_THROWN_AWAY = 60
TABLES = ("segue_steps", "segue_runs", "segue_limit_keys", "segue_shares", "s", "h", "b")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    from tests.servers import postgres

    made = None
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('lanes')}/segue.db"
    else:
        url = made = postgres.create_database(request.getfixturevalue("postgres_server_url"))
    stage = Stage(url)
    _ = stage.worker
    with connect(url) as connection:
        write = _Writing(connection, is_sqlite=made is None)
        write.steps(1, DEEP, "ready", "limit", f"'{DEEP_LANE}'")
        write.steps(2, LANES, "ready", "limit", f"""'["{TASK}",1,[["customer","c' || n || '",1]],null,1.0]'""")
        write.steps(3, HOLDING, "running", None, f"""'["{TASK}",1,[["customer","c' || n || '",1]],null,1.0]'""")
        write.steps(4, ENDED, "succeeded", None, f"'{DEEP_LANE}'")
        write.runs(5, WAITING)
        connection.commit()
        connection.execute("ANALYZE")
        connection.commit()
    yield stage
    stage.close()
    if made is not None:
        postgres.drop_database(made)


class _Writing:
    def __init__(self, connection: Any, *, is_sqlite: bool) -> None:
        self._execute = connection.execute
        self._is_sqlite = is_sqlite

    def steps(self, digit: int, count: int, status: str, gate: str | None, lane: str) -> None:
        children = "'[-1]'" if self._is_sqlite else "'{-1}'"
        held_by = "NULL" if gate is None else f"'{gate}'"
        ended = f"'{NOW}'" if status == "succeeded" else "NULL"
        self._insert(
            "segue_steps (run_id, step, name, task, status, gate, queue, ready_at, lane, children, finished_at)",
            f"{self._id(digit, 'n / 100')}, n % 100, 's', '{TASK}', '{status}', {held_by}, 'default', '{NOW}', {lane}, "
            f"{children}, {ended}",
            count,
        )

    def runs(self, digit: int, count: int) -> None:
        """Half of them wait for a place of their workflow's limit, each for its own customer."""
        self._insert(
            "segue_runs (id, workflow, status, waiting_on, steps, created_at, limit_name, limit_key, admitted_at)",
            f"{self._id(digit, 'n')}, 'w', 'pending', 1, 1, '{NOW}', 'workflow:w', 'c' || (n / 2), "
            f"CASE WHEN n % 2 = 0 THEN '{NOW}'{'' if self._is_sqlite else '::timestamptz'} END",
            count,
        )

    def _id(self, digit: int, number: str) -> str:
        if self._is_sqlite:
            return f"printf('{digit}0000000-0000-7000-8000-%012d', {number})"
        return f"('{digit}0000000-0000-7000-8000-' || lpad(({number})::text, 12, '0'))::uuid"

    def _insert(self, into: str, values: str, count: int) -> None:
        series = f"WITH RECURSIVE g(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM g WHERE n < {count - 1}) "
        self._execute(f"{series}INSERT INTO {into} SELECT {values} FROM g" if self._is_sqlite else
                      f"INSERT INTO {into} SELECT {values} FROM generate_series(0, {count - 1}) AS g(n)")  # fmt: skip


DEEP_LANES = {"deep": [DEEP_LANE], "ranks": [-5], "sinces": [NOW]}
CLAIM = {"worker_id": WORKER, "now": NOW, "limit": 5, "queue": "default"}
LIMIT_KEYS = {
    "names": ["mail"] * 20, "keys": [f"c{n}" for n in range(20)], "queues": ["default"] * 20,
    "pairs": [["mail", f"c{n}"] for n in range(20)],
}  # fmt: skip
PARAMETERS: dict[str, dict[str, Any]] = {
    "waiting_lanes": {"queue": "default", "after": "", "limit": 200, **DEEP_LANES},
    "claim_lane": {"lane": DEEP_LANE, "rank": -5, "run_id": None, "since": NOW, **CLAIM},
    "claim_of_run_on": {"run_id": RUN, "tasks": [TASK], **CLAIM},
    "peek": {"queue": "default", "tasks": [TASK], "limit": 5, "rank": -32000, "since": NOW},
    "taken_by_lanes": {},
    "taken_by_all": {},
    "buckets": LIMIT_KEYS,
    "shares": LIMIT_KEYS,
    "full_buckets": {"now": NOW, "limit": 100},
    "idle_shares": {"before": NOW, "limit": 100},
    "count_admitted": {"name": "workflow:w", "key": "c7"},
    "waiting_runs": {"name": "workflow:w", "key": "c7", "limit": 5, "now": NOW},
    "waiting_limit_keys": {"name": "workflow:w", "key": "c7", "limit": 3},
    "next_admission": {"now": NOW},
}
INDEXES = {
    "waiting_lanes": "segue_steps_limited",
    "claim_lane": "segue_steps_limited",
    "claim_of_run_on": "segue_steps_ready",
    "peek": "segue_steps_ready",
    "taken_by_lanes": "segue_steps_holding",
    "taken_by_all": "segue_steps_running",
    "full_buckets": "segue_limit_keys_full",
    "idle_shares": "segue_shares_idle",
    "count_admitted": "segue_runs_admitted",
    "waiting_runs": "segue_runs_waiting",
    "waiting_limit_keys": "segue_runs_waiting",
}
MOST_ROWS_READ = {
    "waiting_lanes": 3 * 200,
    "claim_lane": 3 * 5,
    "taken_by_lanes": 2 * HOLDING,
    "taken_by_all": 2 * HOLDING,
}


@pytest.mark.parametrize("statement", sorted(PARAMETERS))
def test_statements_of_limits_go_through_their_indexes(large: Stage, statement: str) -> None:
    plan = _sqlite_plan if large.store.dialect == "sqlite" else _postgres_plan
    text = plan(large, statement)
    if statement in INDEXES:
        assert INDEXES[statement] in text


def _sqlite_plan(stage: Stage, statement: str) -> str:
    parameters = {
        name: json.dumps(value) if isinstance(value, list) else value for name, value in PARAMETERS[statement].items()
    }
    with connect(stage.store.url) as connection:
        rows = connection.execute("EXPLAIN QUERY PLAN " + named.load("sqlite")[statement].sql, parameters).fetchall()
    lines = [row[3] for row in rows]
    read_whole = [
        line for line in lines if line.split()[0] == "SCAN" and line.split()[1] in TABLES and "INDEX" not in line
    ]
    assert read_whole == [], lines
    return "\n".join(lines)


def _postgres_plan(stage: Stage, statement: str) -> str:
    sql = postgres_sql._PARAMETER.sub(r"%(\1)s", named.load("postgres")[statement].sql)
    with psycopg.connect(stage.store.url) as connection:
        connection.execute(SETTINGS)
        [(found,)] = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", PARAMETERS[statement]).fetchall()
        connection.rollback()
    most = MOST_ROWS_READ.get(statement, 200)
    for step in _steps(found[0]["Plan"]):
        assert step["Node Type"] != "Seq Scan", found
        assert step.get("Rows Removed by Filter", 0) <= MOST_ROWS_THROWN_AWAY, found
        if "Index Name" in step:
            assert step["Actual Rows"] * step["Actual Loops"] <= most, found
    return json.dumps(found)


def _steps(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield found
    for child in found.get("Plans", []):
        yield from _steps(child)
