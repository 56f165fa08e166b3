"""Cost per step stays flat: on large tables the statements of the hot path go through their indexes, and read no more.

Plans are looked at, not clocks. On PostgreSQL the rows that a scan had to throw away are counted as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from segue.store import named, postgres_sql
from segue.store.sqlite_wide import WIDTH, wide
from tests.contract.stage import TASK, Stage, connect, node, plan

STEPS = 50_000
ASIDE = 100_000  # delayed, or on a queue that nobody asks for
WAITING = 100_000  # for a message
ENDED_WORKERS = 20_000


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Many runs that ended, a large one that lives, and 100,000 steps that wait elsewhere."""
    from tests.servers import postgres

    made = None
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('large')}/segue.db"
    else:
        url = made = postgres.create_database(request.getfixturevalue("postgres_server_url"))
    stage = Stage(url)
    stage.start(plan(*[node(f"s{number}", delay=1000.0 if number % 5 else None) for number in range(50)]))
    with connect(url) as connection:
        _fill(connection, url, "ended", STEPS, "succeeded", None)
        _fill(connection, url, "delayed", ASIDE // 2, "ready", "timer")
        _fill(connection, url, "elsewhere", ASIDE // 2, "ready", None, queue="elsewhere")
        _fill(connection, url, "waiting", WAITING, "ready", "event")
        _fill_waits(connection)
        _fill_failures(connection)
        _fill_checkpoints(connection)
        _fill_workers(connection, url)
        connection.commit()
        connection.execute("ANALYZE")
        connection.commit()
    yield stage
    stage.close()
    if made is not None:
        postgres.drop_database(made)


def _fill(
    connection: Any, url: str, name: str, count: int, status: str, gate: str | None, queue: str = "default"
) -> None:
    """Runs of 50 steps each, written as fast as the database takes them."""
    digit = {"ended": "1", "delayed": "2", "elsewhere": "3", "waiting": "4"}[name]
    run, final = (
        "succeeded" if status == "succeeded" else "pending",
        "'2026-01-01 00:00:00'" if status == "succeeded" else "NULL",
    )
    gate_sql = "NULL" if gate is None else f"'{gate}'"
    if url.startswith("sqlite"):
        series, id_ = (
            "WITH RECURSIVE g(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM g WHERE n < {}) ",
            "printf('{}0000000-0000-7000-8000-%012d', {})",
        )
        source, children = " FROM g", "'[-1]'"
    else:
        series, id_ = "", "('{}0000000-0000-7000-8000-' || lpad(({})::text, 12, '0'))::uuid"
        source, children = " FROM generate_series(0, {}) AS g(n)", "'{{-1}}'"
    due = "'2027-01-01 00:00:00.000000'" if gate else "'2026-01-01 00:00:00.000000'"
    connection.execute(
        series.format(count // 50 - 1)
        + "INSERT INTO segue_runs (id, workflow, status, waiting_on, steps, created_at, finished_at) SELECT "
        + id_.format(digit, "n") + f", 'w', '{run}', 50, 50, '2026-01-01 00:00:00', {final}"
        + source.format(count // 50 - 1)
    )  # fmt: skip
    connection.execute(
        series.format(count - 1)
        + "INSERT INTO segue_steps (run_id, step, name, task, status, gate, queue, ready_at, children, finished_at) "
        + "SELECT "
        + id_.format(digit, "n / 50")
        + f", n % 50, 's', '{TASK}', '{status}', {gate_sql}, '{queue}', {due}, {children.format()}, {final}"
        + source.format(count - 1)
    )  # fmt: skip


def _fill_waits(connection: Any) -> None:
    """Each step of a run waits for a name of its own, half of them with a timeout; other messages are not taken."""
    connection.execute(
        "UPDATE segue_steps SET event = 'n' || step, ready_at = '2026-01-01 00:00:00.000000' WHERE gate = 'event'"
    )
    connection.execute(
        "INSERT INTO segue_alarms (run_id, step, kind, due_at, seconds) "
        "SELECT run_id, step, 'wait', '2027-01-01 00:00:00.000000', 1.0 FROM segue_steps "
        "WHERE gate = 'event' AND step < 25"
    )
    connection.execute(
        "INSERT INTO segue_messages (run_id, position, name, key, value, sent_at) "
        "SELECT run_id, step, 'never', 'k' || step, '1', '2026-01-01 00:00:00.000000' FROM segue_steps "
        "WHERE gate = 'event'"
    )
    connection.execute("INSERT INTO segue_events (id, at, kind, run_id) SELECT id, created_at, 'x', id FROM segue_runs")


def _fill_failures(connection: Any) -> None:
    """Half of the runs that ended failed, at the same time."""
    connection.execute(
        "UPDATE segue_runs SET status = 'failed', error = '{\"type\":\"Boom\"}' "
        "WHERE id < '10000000-0000-7000-8000-000000000500' AND finished_at IS NOT NULL"
    )


def _fill_checkpoints(connection: Any) -> None:
    """Each task that has ended recorded a result, and each delayed one waits for a message."""
    for status, kind, finished in (("succeeded", "checkpoint", "'2026-01-01 00:00:00'"), ("ready", "wait", "NULL")):
        connection.execute(
            "INSERT INTO segue_checkpoints "
            "(run_id, step, ordinal, kind, name, fingerprint, attempt, started_at, finished_at) "
            f"SELECT run_id, step, 0, '{kind}', 'n' || step, 'f', 1, '2026-01-01 00:00:00', {finished} "
            f"FROM segue_steps WHERE status = '{status}' AND coalesce(gate, 'timer') = 'timer' AND queue = 'default'"
        )


def _fill_workers(connection: Any, url: str) -> None:
    """A process for each minute of two weeks, all ended."""
    if url.startswith("sqlite"):
        id_ = "printf('50000000-0000-7000-8000-%012d', n)"
        numbers = f"SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {ENDED_WORKERS}"
        source = f"WITH RECURSIVE g(n) AS ({numbers}) SELECT n FROM g"
    else:
        id_, source = (
            "('50000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid",
            f"SELECT * FROM generate_series(1, {ENDED_WORKERS}) AS g(n)",
        )
    then = "'2026-01-01 00:00:00'"
    connection.execute(
        "INSERT INTO segue_workers (id, name, queues, tasks, pool, concurrency, version, status, started_at, "
        f"heartbeat_at, lease_until) SELECT {id_}, 'host:1', '[]', '[]', 'none', 1, '0', 'stopped', {then}, {then}, "
        f"{then} FROM ({source}) AS numbers"
    )


FIRST = {"rank": -9, "since": "0001-01-01 00:00:00"}  # from where a claim looks
RUN = "20000000-0000-7000-8000-000000000001"
RUN_THAT_WAITS = "40000000-0000-7000-8000-000000000001"
WORKER = "019b7701-17d8-7125-b7a7-fa6e8e8c256b"
CHOSEN: dict[str, Any] = {
    "statuses": None, "workflow": None, "key": None, "error_type": None, "name": "customer", "value": "42",
    "names": [], "values": [], "ids": [RUN], "since": "00000000-0000-0000-0000-000000000000",
    "before": "ffffffff-ffff-ffff-ffff-ffffffffffff", "limit": 10, "prefix": "", "paths": None, "wanted": [],
    "forked_from": None, "failed_since": None, "failed_until": None, "since_time": "2025-01-01 00:00:00",
    "since_run": "00000000-0000-0000-0000-000000000000", "before_time": "2027-01-01 00:00:00",
    "before_run": "ffffffff-ffff-ffff-ffff-ffffffffffff", "most": 10,
}  # fmt: skip
WAYS = {
    "all": None, "namespace": "segue_runs_namespace", "live": "segue_runs_live", "failed": "segue_runs_failed",
    "cancelled": "segue_runs_cancelled", "workflow": None, "error": "segue_runs_error_type",
    "forks": "segue_runs_forked", "label": "segue_labels", "failures": "segue_runs_failed_at",
}  # fmt: skip
FROM_THE_END = {"before": "ffffffff-ffff-ffff-ffff-ffffffffffff", "limit": 10}
WAITS_AFTER = {
    "after_run": RUN_THAT_WAITS, "after_step": 3, "workflow": None, "name": None, "limit": 10, "prefix": "",
}  # fmt: skip
MINE = {"prefix": "", "namespace": ""}
QUEUES = {"prefix": "", "queues": 10, "most": 10}
FAILURES = {
    "failed_since": "2025-01-01 00:00:00", "failed_until": "2027-01-01 00:00:00", "looked_at": 100, "prefix": "",
}  # fmt: skip
PARAMETERS: dict[str, dict[str, Any]] = {
    "claim": {
        "queue": "default",
        "tasks": [TASK],
        "limit": 5,
        "worker_id": WORKER,
        "now": "2026-01-01 00:00:00",
        **FIRST,
    },
    "claim_of_run": {
        "run_id": RUN,
        "tasks": [TASK],
        "limit": 5,
        "worker_id": WORKER,
        "now": "2026-01-01 00:00:00",
        **FIRST,
    },
    "due_timers": {"now": "2026-01-01 00:00:00", "limit": 100},
    "next_timer": {},
    "lock_runs": {"ids": [RUN]},
    "cancel_waiting_steps": {"run_id": RUN, "but": -1, "now": "2026-01-01 00:00:00"},
    "overdue_steps": {"executor": "hpc", "now": "2026-01-01 00:00:00", "prefix": "@hpc", "limit": 100},
    "next_overdue": {"executor": "hpc"},
    "halted_runs": {},
    "sent_by_queue": {"executor": "hpc", "limit": 1000},
    "sent_last": {"executor": "hpc", "queue": "@hpc:default", "before": 10},
    "places_of_executor": {"executor": "hpc", "now": "2026-01-01 00:00:00"},
    "request_cancel": {"run_id": RUN},
    "is_busy": {"run_id": RUN},
    "unhandled_failure": {"run_id": RUN, "scope": -1},
    "wake": {},
    "lose_workers": {"now": "2026-01-01 00:00:00"},
    "list_workers": {},
    "cancel_requests": {"worker_id": WORKER},
    "asked_of_worker": {"worker_id": WORKER, "now": "2026-01-01 00:00:00"},
    "statistics_apart": {"before": "2026-01-01 00:00:00", "limit": 10},
    "oldest_minute": {"before": "2026-01-01 00:00:00"},
    "steps_of_worker": {"worker_id": WORKER},
    "lost_steps": {"limit": 100, "only": None, "aside": []},
    "load_results": {"run_id": RUN, "steps": [1, 2]},
    "run_of_key": {"workflow": "w", "key": "k"},
    "prunable_runs": {
        "horizon": "00000001-0000-7000-8000-000000000000",
        "before": "2026-01-01 00:00:00",
        "limit": 10,
        "prefix": "",
    },
    "runs_like": {"low": RUN, "high": RUN, "prefix": "", "limit": 6},
    "ready_queues": {"limit": 1000},
    "runs_ending": {"ending": "00000001", "prefix": ""},
    "list_steps": {"run_id": RUN, "after": -1, "status": None, "name": None, "limit": 100},
    "page_of_key": CHOSEN | {"workflow": "w", "key": "k"},
    **{f"{kind}_of_{way}": CHOSEN for way in WAYS for kind in ("page", "end")},
    "page_of_namespace": CHOSEN | {"prefix": "shop\x1f"},
    "end_of_namespace": CHOSEN | {"prefix": "shop\x1f"},
    "page_of_forks": CHOSEN | {"forked_from": RUN},
    "end_of_forks": CHOSEN | {"forked_from": RUN},
    "page_of_workflow": CHOSEN | {"workflow": "w"},
    "end_of_workflow": CHOSEN | {"workflow": "w"},
    "page_of_error": CHOSEN | {"error_type": "Boom"},
    "end_of_error": CHOSEN | {"error_type": "Boom"},
    "page_of_label": CHOSEN | {"names": ["customer"], "values": ["42"]},
    "limited_queues": {"queues": 10, "most": 10},
    "busy_by_queue": {"most": 10},
    "ready_by_queues": QUEUES,
    "queues_and_live_runs_now": {"now": "2026-01-01 00:00:00"} | QUEUES,
    "installation": {"limit": 10} | FAILURES | {"most": 10},
    "latest_failures": {"limit": 10} | FAILURES,
    "retried_steps": {"most": 10, "limit": 10, "prefix": ""},
    "latest_tick": {"name": "nightly"},
    "schedules_shown": {"workflow": None},
    "lanes_of_ready_steps": {"run_id": RUN, "step": 7, "limit": 10},
    "active_steps": {
        "run_id": RUN,
        "limit": 10,
        "running": 0,
        "sent": 0,
        "ready": 0,
        "failed": 0,
        "most_failed": 10,
    },
    "step_with_values": {"run_id": RUN, "step": 7},
    "neighbours_of_step": {"run_id": RUN, "step": 7, "steps": [8, 9], "finds_parents": True, "limit": 10},
    "ends_of_waits": {"run_id": RUN_THAT_WAITS, "step": 7, "limit": 10},
    "parents_of": {"run_id": RUN, "step": 7, "limit": 5},
    "workflow_names": {"after": "", "limit": 10},
    "newest_failures": {"since": "2025-01-01 00:00:00", "limit": 10, "prefix": ""},
    "failure": {"run_id": RUN, "step": 7, "attempt": 1},
    "failures_alike": {
        "fingerprint": "f",
        "before": "2027-01-01 00:00:00",
        "before_run": RUN,
        "before_step": 7,
        "before_attempt": 1,
        "limit": 10,
        "prefix": "",
    },
    "first_failure_alike": {"fingerprint": "f"},
    "count_failures_alike": {"fingerprint": "f", "limit": 10},
    "groups_of_run": {"run_id": RUN, "limit": 100},
    "group_of_step": {"run_id": RUN, "step": 7},
    "members_of_group": {
        "run_id": RUN,
        "first": 0,
        "scope": -1,
        "name": "s",
        "status": None,
        "after": -1,
        "limit": 10,
    },
    "page_of_ids": CHOSEN,
    "run_rows": {"ids": [RUN]},
    "run_row": {"run_id": RUN},
    "hold_steps": {"run_id": RUN},
    "free_steps": {"run_id": RUN, "now": "2026-01-01 00:00:00"},
    "pause_run": {"run_id": RUN},
    "last_event": {"run_id": RUN, "kind": "run.paused"},
    "step_waiting": {"run_id": RUN_THAT_WAITS, "name": "n7"},
    "names_waiting": {"run_id": RUN_THAT_WAITS},
    "next_messages": {"run_id": RUN_THAT_WAITS, "name": "never", "limit": 1},
    "find_message": {"run_id": RUN_THAT_WAITS, "name": "never", "key": "k7"},
    "wait_rows": {"run_id": RUN_THAT_WAITS, "steps": [1, 2]},
    "waits_after": WAITS_AFTER,
    "messages_of_run": {"run_id": RUN_THAT_WAITS, "after": -1, "limit": 10},
    "list_waits": {"workflow": None, "name": None, "limit": 10, "prefix": ""},
    "checkpoint_waiting": {"run_id": RUN_THAT_WAITS, "name": "never"},
    "checkpoints_of": {"run_id": RUN, "step": 7, "after": -1, "limit": 1000},
    "last_checkpoint": {"run_id": RUN, "step": 7},
    "wait_of_task": {"run_id": RUN, "step": 7},
    "wake_suspended": {"run_id": RUN, "step": 7, "now": "2026-01-01 00:00:00"},
    "discard_checkpoints": {"run_id": RUN, "steps": [1, 2]},
    "fork_checkpoints": {"run_id": RUN, "new_id": WORKER},
    "list_events": {"before": "ffffffff-ffff-ffff-ffff-ffffffffffff", "limit": 10, "kinds": [], "every_kind": True}
    | MINE,
    "list_events_of_run": {
        "run_id": RUN,
        "before": "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "limit": 10,
        "kinds": ["x"],
        "every_kind": False,
        "actor": None,
    }
    | MINE,
    "list_events_of_kinds": {"kinds": ["rare", "x"], "actor": None, **FROM_THE_END} | MINE,
    "list_events_of_actor": {"actor": "ann", "kinds": [], "every_kind": True, **FROM_THE_END} | MINE,
    "list_ended_workers": {"status": "lost", "namespace": "", **FROM_THE_END},
    "due_alarms": {"now": "2026-01-01 00:00:00", "limit": 200, "only": None, "aside": []},
    "next_alarm": {},
    "alarm_subject": {"run_id": RUN_THAT_WAITS, "step": 3},
    "has_event": {"run_id": RUN, "kind": "run.late_end", "step": -1},
    "lock_ready_steps": {"run_id": RUN},
    "graph_run": {"run_id": RUN},
    "graph_steps": {"run_id": RUN},
    "steps_named": {"run_id": RUN, "name": "s7", "limit": 6},
    "step_arguments": {"run_id": RUN, "step": 7},
    "result_exprs": {"run_id": RUN, "steps": [1, 2]},
    "alarms_of_run": {"run_id": RUN},
    "discard_steps": {"run_id": RUN, "steps": [1, 2]},
    "discard_labels": {"run_id": RUN, "steps": [1, 2]},
    "discard_alarms": {"run_id": RUN, "steps": [1, 2]},
    "fork_steps": {"run_id": RUN, "new_id": WORKER},
    "fork_labels": {"run_id": RUN, "new_id": WORKER},
    "event_recorded": {"id": WORKER},
    "standing": {"namespace": ""},
    "held_steps": {"most": 1000},
    "held_by_worker": {"worker_id": WORKER, "limit": 50},
    "held_by_workers": {"limit": 10},
    "held_on_queue": {"queue": "elsewhere", "limit": 50},
    "next_on_queue": {"queue": "elsewhere", "limit": 50},
    "held_longest": {"limit": 50},
    "keys_of_run_limit": {"name": "workflow:none", "limit": 10},
    "runs_holding_limit": {"name": "workflow:none", "limit": 50},
    "count_ready": {"queue": "elsewhere", "limit": 1000},
    "live_runs_by_status": {"prefix": "", "most": 1000},
    "ends_of_runs": {"ids": [RUN]},
    "traces_of_runs": {"ids": [RUN]},
    "task_of_step": {"run_id": RUN, "step": 7},
    "set_trace": {"run_id": RUN, "trace": "00"},
}
INDEXES = {
    "held_by_worker": "segue_steps_running", "held_by_workers": "segue_steps_running",
    "held_on_queue": "segue_steps_running", "held_longest": "segue_steps_running",
    "next_on_queue": "segue_steps_ready", "runs_holding_limit": "segue_runs_admitted",
    "list_events_of_kinds": "segue_events_kind", "list_events_of_actor": "segue_events_actor",
    "list_ended_workers": "segue_workers_ended",
    "limited_queues": "segue_steps_limited", "ready_by_queues": "segue_steps_ready",
    "busy_by_queue": "segue_steps_timer", "workflow_names": "segue_runs_workflow",
    "newest_failures": "segue_attempts_failed", "failures_alike": "segue_attempts_fingerprint",
    "first_failure_alike": "segue_attempts_fingerprint", "count_failures_alike": "segue_attempts_fingerprint",
    "claim": "segue_steps_ready", "due_timers": "segue_steps_timer", "next_timer": "segue_steps_timer",
    "cancel_requests": "segue_steps_running", "asked_of_worker": "segue_steps_running",
    "statistics_apart": "segue_statistics_apart", "steps_of_worker": "segue_steps_running",
    "overdue_steps": "segue_steps_sent", "next_overdue": "segue_steps_sent", "halted_runs": "segue_runs_halted",
    "sent_by_queue": "segue_steps_sent", "sent_last": "segue_steps_sent", "places_of_executor": "segue_workers_live",
    "lost_steps": "segue_steps_running", "lose_workers": "segue_workers_live", "list_workers": "segue_workers_live",
    "page_of_key": "segue_runs_key",
    **{f"{kind}_of_{way}": index for way, index in WAYS.items() for kind in ("page", "end") if index},
    "last_event": "segue_events_run", "has_event": "segue_events_run",
    "step_waiting": "segue_steps_event", "next_messages": "segue_messages_waiting",
    "list_waits": "segue_steps_event segue_checkpoints_waiting",
    "find_message": "segue_messages_key", "due_alarms": "segue_alarms_due", "next_alarm": "segue_alarms_due",
    "list_events_of_run": "segue_events_run", "runs_ending": "segue_runs_end_of_id",
    "ready_queues": "segue_steps_ready",
    "held_steps": "segue_steps_event", "live_runs_by_status": "segue_runs_live",
    "checkpoint_waiting": "segue_checkpoints_waiting",
    "installation": "segue_runs_failed_at segue_steps_event segue_checkpoints_waiting segue_steps_ready",
    "latest_failures": "segue_runs_failed_at", "retried_steps": "segue_steps_timer",
    "queues_and_live_runs_now": "segue_steps_ready segue_steps_limited segue_steps_timer segue_runs_live",
}  # fmt: skip
SMALL = ("segue_workers", "segue_leader", "segue_limits")
MOST_ROWS_THROWN_AWAY = 60  # a run has 50 steps, and some statements look through those of one run


@pytest.mark.parametrize("statement", sorted(PARAMETERS))
def test_statements_go_through_their_indexes(large: Stage, statement: str) -> None:
    plan_text = PLAN[large.store.dialect](large, statement)
    for index in INDEXES.get(statement, "").split():
        assert index in plan_text


def test_a_start_looks_for_sleeping_workers_among_those_that_live(large: Stage) -> None:
    """With the planner as users have it: each start on PostgreSQL asks."""
    if large.store.dialect == "sqlite":
        return  # a start sends no notification there
    with psycopg.connect(large.store.url) as connection:
        [(found,)] = connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {named.load('postgres')['wake'].sql}"
        ).fetchall()
    steps = list(_plan_steps(found[0]["Plan"]))
    assert "segue_workers_live" in [step.get("Index Name") for step in steps]
    assert sum(step.get("Rows Removed by Filter", 0) for step in steps) <= 2


def _sqlite_plan(stage: Stage, statement: str) -> str:
    parameters = {
        name: json.dumps(value) if isinstance(value, list) else value for name, value in PARAMETERS[statement].items()
    }
    with connect(stage.store.url) as connection:
        rows = connection.execute("EXPLAIN QUERY PLAN " + named.load("sqlite")[statement].sql, parameters).fetchall()
    text = "\n".join(row[3] for row in rows)
    # "SCAN x" without an index reads a whole table; a JSON list is no table, and neither are the rows of a subquery.
    made = {line.split()[-1] for line in text.splitlines() if line.startswith(("MATERIALIZE", "CO-ROUTINE"))}
    bare = [line for line in text.splitlines() if "SCAN" in line and "USING" not in line and "INDEX" not in line]
    bare = [line for line in bare if line.split()[-1] not in made]
    assert [line for line in bare if "segue_" in line or line.split()[-1] in ("s", "r", "f", "h", "p")] == [], text
    return text


def _postgres_plan(stage: Stage, statement: str) -> str:
    from segue.store.postgres import PostgresStore

    assert isinstance(stage.store, PostgresStore)
    with stage.store.transaction(), psycopg.connect(stage.store.url) as connection:
        connection.execute(
            "SET enable_seqscan = off; SET jit = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
        )
        if statement.startswith(("page_of_", "end_of_")):
            found = _generic_plan(connection, statement)
        else:
            text = _bound(named.load("postgres")[statement].sql, PARAMETERS[statement])
            [(found,)] = connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + text, PARAMETERS[statement]).fetchall()
        connection.rollback()
    for step in _plan_steps(found[0]["Plan"]):
        assert step["Node Type"] != "Seq Scan" or step["Relation Name"] in SMALL, found
        # To work one run, all steps that are ready are looked through.
        assert step.get("Rows Removed by Filter", 0) <= MOST_ROWS_THROWN_AWAY or statement == "claim_of_run", found
    return json.dumps(found)


def _generic_plan(connection: psycopg.Connection[Any], statement: str) -> Any:
    """Of a statement with more conditions than indexes: which it goes by must not depend on the values."""
    found = postgres_sql.compiled(statement)
    connection.execute("SET plan_cache_mode = force_generic_plan")
    connection.execute(f"PREPARE chosen AS {found.text}".encode())
    values = sql.SQL(", ").join(sql.Literal(PARAMETERS[statement][name]) for name in found.order)
    [(plan_of_it,)] = connection.execute(
        sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE chosen({})").format(values)
    ).fetchall()
    connection.execute("DEALLOCATE chosen")
    return plan_of_it


def _bound(text: str, parameters: dict[str, Any]) -> str:
    assert all(name in parameters for name in postgres_sql._PARAMETER.findall(text))
    return postgres_sql._PARAMETER.sub(r"%(\1)s", text)


def _plan_steps(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield found
    for child in found.get("Plans", []):
        yield from _plan_steps(child)


PLAN: dict[str, Callable[[Stage, str], str]] = {"sqlite": _sqlite_plan, "postgres": _postgres_plan}


def test_a_claim_reads_only_what_it_takes(large: Stage) -> None:
    """Neither delayed steps nor those of other queues are in its way, nor 100,000 that wait for a message."""
    text = PLAN[large.store.dialect](large, "claim")
    if large.store.dialect == "sqlite":
        assert "TEMP B-TREE" not in text  # the index has the order, so nothing is sorted
    else:
        scans = [
            step for step in _plan_steps(json.loads(text)[0]["Plan"]) if step.get("Index Name") == "segue_steps_ready"
        ]
        assert [step["Actual Rows"] for step in scans] == [5]


def test_a_finish_touches_the_steps_that_it_names(large: Stage) -> None:
    if large.store.dialect == "sqlite":
        statements = named.load("sqlite")
        with connect(large.store.url) as connection:
            for name in (
                "step_to_finish", "steps_to_finish", "finish_step", "finish_steps", "release_plain_step",
                "release_plain_steps", "release_step", "make_ready", "end_plain_run", "release_run", "claim_steps",
            ):  # fmt: skip
                text = wide(statements[name].sql, WIDTH) or statements[name].sql
                count = len(set(re.findall(r"\?\d+", text)))
                rows = connection.execute("EXPLAIN QUERY PLAN " + text, [1] * count).fetchall()
                assert any(re.search(r"SEARCH (segue_|s )", row[3]) for row in rows)
                assert not any("SCAN segue_" in row[3] or row[3] in ("SCAN r", "SCAN f", "SCAN s") for row in rows)
        return
    text, columns = named.load("postgres")["finish"]
    rows = {
        "run_id": [RUN] * 3, "step": [0, 1, 2], "attempt": [0] * 3, "from_status": ["ready"] * 3,
        "status": ["succeeded"] * 3, "result": [None] * 3, "error": [None] * 3, "seconds": [None] * 3,
        "now": "2026-01-01 00:00:00",
    }  # fmt: skip
    arrays = ", ".join(f"%({name})s::{kind}[]" for name, kind in columns)
    names = ", ".join(name for name, _ in columns)
    sql = postgres_sql._PARAMETER.sub(r"%(\1)s", text).replace("%(batch)s", f"unnest({arrays}) AS o({names})")
    sql = sql.replace("%(now)s", "%(now)s::timestamptz")
    with psycopg.connect(large.store.url) as connection:
        connection.execute(
            "SET enable_seqscan = off; SET jit = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
        )
        [(found,)] = connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, rows).fetchall()
        connection.rollback()
    for step in _plan_steps(found[0]["Plan"]):
        assert step["Node Type"] != "Seq Scan"
        assert step.get("Rows Removed by Filter", 0) <= MOST_ROWS_THROWN_AWAY


@pytest.mark.parametrize("name", ["finish_plain", "finish_plain_one", "finish_plain_link"])
def test_a_plain_finish_finds_steps_by_their_run_and_number(stage: Stage, name: str) -> None:
    """As the plan that is made once, for whatever parameters, while the tables are empty."""
    if stage.store.dialect == "sqlite":
        return  # it has no such statement
    with stage.store.transaction() as tx:
        text, order, *_ = postgres_sql.compiled(name)
        nulls = ", ".join("NULL" for _ in order)
        tx._wire.send(f"PREPARE plain_plan AS {text}", ()).rows()
        found = tx._wire.send(f"EXPLAIN (COSTS OFF) EXECUTE plain_plan ({nulls})", ()).rows()
        tx._wire.send("DEALLOCATE plain_plan", ()).rows()
    lines = [line for (line,) in found]
    assert not [line for line in lines if "Seq Scan" in line]
    conditions = [line for line in lines if "Index Cond" in line and "step" in line]
    assert conditions
    assert all("run_id" in line for line in conditions), "\n".join(lines)
    by_run = [line for line in lines if "Index Cond: (run_id =" in line]
    assert len(by_run) <= 2  # whether a step of the run has failed, and when its first step began
