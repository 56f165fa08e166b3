"""A database of version 0.1 with runs in every state is upgraded, and the work goes on where it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from segue.store import migrate, open_store
from tests.contract.stage import Stage, connect, succeeded

AT = "2026-01-01 00:00:00.000000"
LIVE = "019b76da-a800-7000-8000-000000000001"
DONE = "019b76da-a800-7000-8000-000000000002"
GROWN = "019b76da-a800-7000-8000-000000000003"
WORKER = "019b76da-a800-7000-8000-00000000000f"

RUN = (
    "INSERT INTO segue_runs (id, workflow, key, status, waiting_on, steps, created_at, finished_at) "
    "VALUES ('{}', 'old', {}, '{}', {}, {}, '{}', {})"
)
STEP = (
    "INSERT INTO segue_steps (run_id, step, scope, name, task, is_join, status, gate, ready_at, attempt, rule, "
    "waiting_on, children, result, result_expr, worker_id, finished_at) VALUES ('{run}', {step}, {scope}, '{name}', "
    "{task}, {is_join}, '{status}', {gate}, {ready_at}, {attempt}, '{rule}', {waiting_on}, '{children}', {result}, "
    "{result_expr}, {worker}, {finished_at})"
)


def step(run: str, number: int, name: str, status: str, children: list[int], **fields: object) -> str:
    values: dict[str, object] = {
        "scope": -1, "task": "'app.work'", "is_join": "false", "gate": "NULL", "ready_at": "NULL", "attempt": 0,
        "rule": "all_succeeded", "waiting_on": 0, "result": "NULL", "result_expr": "NULL", "worker": "NULL",
        "finished_at": "NULL",
    }  # fmt: skip
    values |= fields | {"run": run, "step": number, "name": name, "status": status, "children": str(children)}
    return STEP.format(**values)


WORKER_ROW = (
    "INSERT INTO segue_workers (id, name, queues, tasks, pool, concurrency, version, status, started_at, heartbeat_at, "
    f"lease_until) VALUES ('{WORKER}', 'old', '[\"default\"]', '[\"app.work\"]', 'none', 1, '0.1.0', 'running', "
    f"'{AT}', '{AT}', '{AT}')"
)

OLD_ROWS = [
    WORKER_ROW,
    # a chain whose first step runs on a worker that will be lost, beside a delayed step
    RUN.format(LIVE, "'k'", "running", 2, 3, AT, "NULL"),
    step(LIVE, 0, "first", "running", [1], attempt=1, worker=f"'{WORKER}'", ready_at=f"'{AT}'"),
    step(LIVE, 1, "second", "blocked", [-1], waiting_on=1),
    step(LIVE, 2, "later", "ready", [-1], gate="'timer'", ready_at="'2026-01-01 00:01:00.000000'"),
    RUN.format(DONE, "NULL", "succeeded", 0, 1, AT, f"'{AT}'"),
    step(DONE, 0, "only", "succeeded", [-1], attempt=1, result="'1'", finished_at=f"'{AT}'"),
    # a step whose task returned a plan
    RUN.format(GROWN, "NULL", "running", 1, 2, AT, "NULL"),
    step(GROWN, 0, "grown", "blocked", [-1], attempt=1, is_join="true", rule="all_done", waiting_on=1,
         result_expr="'[\"ref\",1,[]]'"),
    step(GROWN, 1, "inner", "ready", [0], scope=0, ready_at=f"'{AT}'"),
]  # fmt: skip


@pytest.fixture
def old_url(bare_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A database as version 0.1 left it."""
    url = bare_url()
    real = migrate.migrations
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "migrations", lambda dialect: real(dialect)[:1])
        store = open_store(url)
        assert store.upgrade() == [1]
        store.close()
    with connect(url) as connection:
        for statement in OLD_ROWS:
            connection.execute(_of_dialect(statement, url))
        connection.commit()
    return url


def _of_dialect(statement: str, url: str) -> str:
    """PostgreSQL writes arrays in braces."""
    if not url.startswith("sqlite"):
        for children in ("[1]", "[-1]", "[0]"):
            statement = statement.replace(f"'{children}'", f"'{{{children[1:-1]}}}'")
    return statement


def test_work_of_an_older_version_goes_on(old_url: str) -> None:
    store = open_store(old_url)
    assert store.upgrade() == [migration.number for migration in migrate.migrations(store.dialect)[1:]]
    store.close()
    stage = Stage(old_url)
    assert stage.is_sound()
    assert stage.engine.rescue() == 0  # its lease ends now, not before
    stage.advance(1)
    assert stage.engine.rescue() == 1
    stage.turn(timers=True)
    (first, inner) = sorted(stage.claim(), key=lambda job: job.name)
    assert (first.name, first.attempt, inner.name) == ("first", 2, "inner")
    stage.turn(succeeded(first), succeeded(inner, 7))
    assert (str(stage.run(GROWN).status), stage.result(GROWN)) == ("succeeded", None)
    assert stage.step(GROWN, "grown").status == "succeeded"
    stage.advance(60)
    stage.turn(timers=True)
    stage.work()
    assert stage.run(LIVE).status == "succeeded"
    assert stage.run(DONE).tags == ()
    assert stage.is_sound()
    stage.close()


def test_an_upgrade_that_meets_a_worker_in_a_deadlock_is_repeated(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """It waits for a table that the worker uses, and the worker for one that the upgrade has read."""
    store = open_store(postgres_url)
    newest = migrate.latest("postgres") + 1
    change = migrate.Migration(newest, "changes_steps.sql", "CREATE INDEX segue_steps_new ON segue_steps (name)", "sum")
    all_of_them = (*migrate.migrations("postgres"), change)
    monkeypatch.setattr(migrate, "migrations", lambda _: all_of_them)
    with psycopg.connect(postgres_url) as worker:
        worker.execute("LOCK TABLE segue_steps IN ROW EXCLUSIVE MODE")
        done: list[list[int]] = []
        upgrade = threading.Thread(target=lambda: done.append(store.upgrade()))
        upgrade.start()
        while not worker.execute(
            "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'segue_steps'::regclass"
        ).fetchall():
            time.sleep(0.01)
        worker.execute("LOCK TABLE segue_schema IN ACCESS EXCLUSIVE MODE")  # until the server ends the upgrade
        assert not done
        worker.commit()
        upgrade.join(timeout=30)
    assert done == [[newest]]
    store.close()
