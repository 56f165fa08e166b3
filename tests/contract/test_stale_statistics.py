"""On PostgreSQL no act may depend on statistics: they can be those of an empty table when a large run starts.

A table that is analysed while all of its rows are deleted is expected to have one row. What an act reads is counted by
the server, and every statement is planned: no plan may look through a table for each row of something else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from segue.store import named, postgres_sql
from segue.store.postgres_session import PLANS
from tests.contract import by_hand
from tests.contract.stage import Stage, node, plan, succeeded

WIDE = 2000
READS_FOR_EACH = 20  # rows read for each step that an act is about; looking through the table would be WIDE for each
OF_ALL = 100  # the same for a retry of the whole run, and for all invariants together


FORMER_ROWS = {
    "segue_runs": "(id, workflow, status, waiting_on, steps, created_at) "
    "VALUES (gen_random_uuid(), 'w', 'pending', 1, 1, now())",
    "segue_steps": "(run_id, step, name, status, queue, children) "
    "VALUES (gen_random_uuid(), 0, 's', 'ready', 'q', '{-1}')",
    "segue_labels": "(name, value, run_id, step) VALUES ('n', 'v', gen_random_uuid(), 0)",
    "segue_alarms": "(run_id, step, kind, due_at) VALUES (gen_random_uuid(), 0, 'wait', now())",
    "segue_events": "(id, at, kind, run_id) VALUES (gen_random_uuid(), now(), 'x', gen_random_uuid())",
    "segue_messages": "(run_id, position, name, key, value, sent_at) "
    "VALUES (gen_random_uuid(), 0, 'n', 'k', '1', now())",
    "segue_attempts": "(run_id, step, attempt, status, worker, finished_at) "
    "VALUES (gen_random_uuid(), 0, 1, 'failed', 'w', now())",
    "segue_progress": "(run_id, step, attempt, done, started_at, updated_at) "
    "VALUES (gen_random_uuid(), 0, 1, 0, now(), now())",
    "segue_checkpoints": "(run_id, step, ordinal, kind, name, fingerprint, attempt, started_at) "
    "VALUES (gen_random_uuid(), 0, 0, 'wait', 'n', 'f', 1, now())",
    "segue_statistics": "(span, at, process, queue, task, attempts, failed, seconds, waited, took, waits) "
    "VALUES (60, now(), 'p', 'q', 't', 1, 0, 1, 1, '{}', '{}')",
    "segue_unfinished": "(run_id, position, items) VALUES (gen_random_uuid(), 0, '[]')",
    "segue_keys": "(workflow, key, run_id) VALUES ('w', 'k', gen_random_uuid())",
    "segue_workers": "(id, name, queues, tasks, pool, concurrency, version, status, started_at, heartbeat_at, "
    "lease_until) "
    "VALUES (gen_random_uuid(), 'w', '[]', '[]', 'none', 1, '0', 'stopped', now(), now(), now())",
    "segue_ticks": "(schedule, tick, status, is_open, decided_at) VALUES ('s', now(), 'skipped', false, now())",
    "segue_debounces": "(run_id, workflow, key, keep, begun_at, due_at, terms, seen, bytes, starts) "
    "VALUES (gen_random_uuid(), 'w', 'k', 'all', now(), now(), '{}', 1, 0, '[]')",
    "segue_payloads": "(reference, bytes, stored_at) VALUES ('r', 1, now())",
    "segue_payload_uses": "(run_id, reference) VALUES (gen_random_uuid(), 'r')",
    "segue_pushes": "(id, executor, run_id, step, attempt, state, due_at, created_at) "
    "VALUES (gen_random_uuid(), 'e', gen_random_uuid(), 0, 1, 'planned', now(), now())",
    "segue_debounce_starts": "(id, run_id, position) VALUES (gen_random_uuid(), gen_random_uuid(), 0)",
}


@pytest.fixture
def stale_url(make_bare_postgres_url: Callable[[], str]) -> str:
    """A database whose tables were analysed after everything in them had been deleted, but before a vacuum."""
    url = make_bare_postgres_url()
    stage = Stage(url)
    with stage.store.transaction():
        pass  # makes the tables
    stage.close()
    with psycopg.connect(url, autocommit=True) as connection:
        for table, values in FORMER_ROWS.items():
            connection.execute(f"INSERT INTO {table} {values}".encode())
        for table in _tables(connection):
            connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
            if table != "segue_schema":
                connection.execute(f"DELETE FROM {table}".encode())
        connection.execute("ANALYZE")
    return url


def _tables(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'segue\\_%' ORDER BY 1").fetchall()
    return [str(row[0]) for row in rows]


# What acts read ------------------------------------------------------------------------------------------------------


class Meter:
    """Counts the rows that acts read. A session says what it has read when it ends, so each act has its own.

    Rows that are read once and then compared many times count once; those comparisons show in the plans, see below.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def reads(self, act: Callable[[Stage], Any]) -> int:
        before = self._rows()
        stage = Stage(self.url)
        act(stage)
        stage.close()
        return self._rows() - before

    def _rows(self) -> int:
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = -1
            while True:
                [(others, rows)] = connection.execute(
                    "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid()), (SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + "
                    "(SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)"
                ).fetchall()
                if not others and rows == found:
                    return found
                found = int(rows)
                time.sleep(0.6)  # before version 15, what a session has read arrives after half a second


def test_a_wide_run_reads_in_proportion_to_its_steps(stale_url: str) -> None:
    meter = Meter(stale_url)
    wide = [node("root"), *[node(f"s{number}", 0) for number in range(WIDE)], node("end", *range(1, WIDE + 1))]

    started: list[str] = []
    assert meter.reads(lambda stage: started.append(stage.start(plan(*wide)))) < WIDE * READS_FOR_EACH

    def release(stage: Stage) -> None:
        [job] = stage.claim(want=1)
        stage.turn(succeeded(job))

    def execute_some(stage: Stage) -> None:
        jobs = stage.claim(want=100)
        assert len(jobs) == 100
        stage.turn(*map(succeeded, jobs))

    assert meter.reads(release) < WIDE * READS_FOR_EACH
    # Besides what is done to 100 steps, some look-ups read all steps of the run once.
    assert meter.reads(execute_some) < 100 * READS_FOR_EACH + 3 * WIDE
    assert meter.reads(Stage.is_sound) < WIDE * OF_ALL
    assert meter.reads(lambda stage: stage.cancel(started[0])) < WIDE * READS_FOR_EACH
    assert meter.reads(lambda stage: by_hand.retry(stage, started[0])) < WIDE * OF_ALL


# How statements are planned ------------------------------------------------------------------------------------------

LOOKED_THROUGH = {
    # Tables of which the whole is few rows: what is set up by people, what the code defines, and processes that live.
    "segue_schedules", "segue_limits", "segue_subscriptions", "segue_retention", "segue_code_versions",
    "segue_definitions",
}  # fmt: skip
AND_BY = {
    # The workers that live are few, and their index has nothing but them.
    "segue_workers_live",
}
EXCEPT = {
    "check_closed_tick": "reads the runs that live for each tick that is no longer open; ticks are few",
    "check_message_not_taken": "reads the steps that wait for each message that was not taken; these are few",
    "copy_run": "once",
    "failures_alike": "for display: the runs and steps of a page of failures",
    "find_session": "once: the token of a session",
    "forget_starts": "a hash of the debounces, which is made once",
    "fork_terms": "once",
    "free_key": "once",
    "held_by_worker": "for display: the runs of a page of steps",
    "held_longest": "for display: the runs of a page of steps",
    "held_on_queue": "for display: the runs of a page of steps",
    "holders_of_run": "once",
    "installation": "for display: a hundred waits that are counted",
    "lane_to_close": "once",
    "list_events": "for display: the runs of a page of events",
    "list_events_of_actor": "for display: the runs of a page of events",
    "list_events_of_kinds": "for display: the runs of a page of events",
    "list_waits": "for display: the steps and runs of a page of waits",
    "newest_failures": "for display: the runs of a page of failures",
    "next_on_queue": "for display: the runs of a page of steps",
    "open_debounce": "once",
    "page_of_label": "for display: the runs of a label",
    "prune_workers": "a chore: an array of the workers that are deleted, a few at a time",
    "run_limit": "once",
    "wait_rows": "once",
    "waiting_steps_asked_for": "for display: a part of `list_waits`",
    "waiting_tasks_asked_for": "for display: a part of `list_waits`",
    "waits_after": "for display: the runs and alarms of a page of waits",
    "what_holds_run": "once",
    "worker_of_step": "once",
}
"""Statements that may read a whole index for what they look up, and why that is good enough: most look up one row."""


def test_no_statement_looks_through_a_table_for_each_row(stale_url: str) -> None:
    with psycopg.connect(stale_url, autocommit=True, prepare_threshold=None) as connection:
        for setting, value in PLANS.items():
            connection.execute(f"SET {setting} = {value}".encode())
        leading = _leading_columns(connection)
        planned, found = 0, {}
        for name in sorted(named.load("postgres")):
            tree = _planned(connection, name)
            if tree is None:
                continue
            planned += 1
            bad = [scan for scan in _repeated(tree, False) if not _is_look_up(scan, leading)]
            if bad:
                found[name] = [f"{scan.get('Index Name')}: {scan.get('Index Cond')}" for scan in bad]
    assert planned > 200
    bad = {name: scans for name, scans in found.items() if name not in EXCEPT}
    assert not bad, "\n".join(f"{name}: {scans}" for name, scans in bad.items())
    assert [name for name in EXCEPT if name not in found] == []


def _leading_columns(connection: psycopg.Connection[Any]) -> dict[str, str]:
    rows = connection.execute(
        "SELECT c.relname, pg_get_indexdef(i.indexrelid, 1, false) "
        "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname LIKE 'segue\\_%'"
    ).fetchall()
    return {name: re.findall(r"\w+", column)[0] for name, column in rows}


def _planned(connection: psycopg.Connection[Any], name: str) -> dict[str, Any] | None:
    """As the session of a store plans it; None for a fragment of statements."""
    statement = postgres_sql.compiled(name)
    try:
        connection.execute(f"PREPARE planned AS {statement.text}".encode())
    except psycopg.Error:
        return None
    nulls = ", ".join("NULL" for _ in statement.order)
    [(tree,)] = connection.execute(
        f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE planned{f'({nulls})' if nulls else ''}".encode()
    ).fetchall()
    connection.execute("DEALLOCATE planned")
    found: dict[str, Any] = tree[0]["Plan"]
    return found


def _repeated(step: dict[str, Any], is_repeated: bool) -> Iterator[dict[str, Any]]:
    """The scans of tables that run once for each row of something else."""
    if is_repeated and step["Node Type"] in ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan"):
        yield step
    for child in step.get("Plans", []):
        of_each = step["Node Type"] == "Nested Loop" and child["Parent Relationship"] == "Inner"
        yield from _repeated(child, is_repeated or of_each or child["Parent Relationship"] == "SubPlan")


def _is_look_up(scan: dict[str, Any], leading: dict[str, str]) -> bool:
    if scan.get("Relation Name") in LOOKED_THROUGH or scan.get("Index Name") in AND_BY:
        return True
    if scan["Node Type"] == "Seq Scan":
        return not scan["Relation Name"].startswith("segue_")
    index = scan["Index Name"]
    return index not in leading or re.search(rf"\b{leading[index]}\b", scan.get("Index Cond", "")) is not None
